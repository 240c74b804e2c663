// Losses of two stacked views.
#include "methods/common/two_views.h"

#include <doctest/doctest.h>

#include <cmath>

#include "ops/gradcheck.h"
#include "ops/normalize.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

using namespace plumb;
using namespace plumb::methods;

TEST_CASE("self_distillation: the worked example of Happy's card") {
  Tensor z = tensor({{0.9, 0.1, -0.2}, {0.7, 0.3, 0.0}}, f64);
  CHECK(self_distillation(z, 0.1, 0.05).item() == doctest::Approx(0.0110448).epsilon(1e-5));
}

TEST_CASE("self_distillation: the gradient is the student's alone, though another teacher is another loss") {
  Tensor z = tensor({{0.3, 0.1, -0.2}, {0.2, 0.3, 0.0}, {0.0, 0.4, 0.1}, {0.1, 0.2, 0.3}}, f64).requires_grad_();
  self_distillation(z, 0.5, 0.3).backward();
  // d/dz of a cross-entropy with fixed targets q: (p − q) / τ / rows, row i with the other view's q.
  auto p = to_vector(softmax(z.detach(), 1, 0.5)), q = to_vector(softmax(other_views(z.detach()), 1, 0.3)), g = to_vector(z.grad());
  for (size_t k = 0; k < 12; ++k) CHECK(g[k] == doctest::Approx((p[k] - q[k]) / 0.5 / 4).epsilon(1e-9));
  CHECK(self_distillation(z, 0.5, 0.2).item() != self_distillation(z, 0.5, 0.3).item());
}

TEST_CASE("two_view_info_nce: by a plain loop, and perfect pairs beat others") {
  Generator g(1);
  Tensor rows = randn({6, 4}, {.dtype = f64, .generator = &g});
  auto u = to_vector(normalize(rows));
  double wanted = 0;
  for (size_t i = 0; i < 6; ++i) {
    double total = 0, truth = 0;
    for (size_t j = 0; j < 6; ++j) {
      double dot = 0;
      for (size_t k = 0; k < 4; ++k) dot += u[4 * i + k] * u[4 * j + k];
      if (j != i) total += std::exp(dot / 0.5);
      if (j == (i + 3) % 6) truth = dot / 0.5;
    }
    wanted += (std::log(total) - truth) / 6;
  }
  CHECK(two_view_info_nce(rows, 0.5).item() == doctest::Approx(wanted).epsilon(1e-9));
  CHECK(gradcheck([](const Tensor& x) { return two_view_info_nce(x, 0.5); }, {rows}).passed);
  Tensor same = tensor({{1.0, 0.0}, {0.0, 1.0}, {1.0, 0.0}, {0.0, 1.0}}),
         crossed = tensor({{1.0, 0.0}, {0.0, 1.0}, {0.0, 1.0}, {1.0, 0.0}});
  CHECK(two_view_info_nce(same, 1).item() < two_view_info_nce(crossed, 1).item());
}

TEST_CASE("two views: mistakes are named") {
  CHECK_THROWS_WITH_AS(self_distillation(zeros({3, 2}), 0.1, 0.05),
                       "self_distillation: takes two views of B examples as [2B, ..], got [3, 2]", ShapeError);
  CHECK_THROWS_WITH_AS(two_view_info_nce(zeros({5, 2}), 1), "two_view_info_nce: takes two views of B examples as [2B, ..], got [5, 2]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(self_distillation(zeros({2, 2}), 0, 0.05), "self_distillation: temperatures must be positive, they are 0 and 0.05",
                       ValueError);
  CHECK_THROWS_AS(two_view_info_nce(zeros({2, 2}), 0), ValueError);
}
