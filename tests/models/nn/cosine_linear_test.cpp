// The classifier that compares directions.
#include "models/nn/cosine_linear.h"

#include <doctest/doctest.h>

#include <cmath>

#include "ops/elementary.h"
#include "ops/gradcheck.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"

using namespace plumb;

TEST_CASE("cosine linear: logits are scaled cosines, whatever the lengths of features and rows") {
  nn::CosineLinear head(2, 3, {.scale = 10, .dtype = f64});
  head.weight = tensor({{1.0, 0.0}, {0.0, 5.0}, {-3.0, 4.0}}, f64);
  auto y = to_vector(head(tensor({{2.0, 0.0}, {0.3, 0.4}, {0.0, 0.0}}, f64)));
  std::vector<double> wanted{10, 0, -6, 6, 8, 2.8, 0, 0, 0};
  for (size_t i = 0; i < wanted.size(); ++i) CHECK(y[i] == doctest::Approx(wanted[i]).epsilon(1e-12));
}

TEST_CASE("cosine linear: rows start with length 1, and the gradient is that of central differences") {
  nn::CosineLinear head(6, 4, {.scale = 5, .dtype = f64});
  for (double length : to_vector(norm(head.weight, 2, {1}))) CHECK(length == doctest::Approx(1).epsilon(1e-12));
  REQUIRE(head.parameters().size() == 1);
  CHECK(head.parameters()[0].requires_grad());
  CHECK(head.parameters()[0].is_leaf());
  Generator g(1);
  Tensor x = randn({3, 6}, {.dtype = f64, .generator = &g});
  auto of = [&](const Tensor& x, const Tensor& w) {
    nn::CosineLinear with = head;
    with.weight = w;
    return with(x);
  };
  Tensor w = randn({4, 6}, {.dtype = f64, .generator = &g});
  CHECK_MESSAGE(gradcheck(of, {x, w}).passed, gradcheck(of, {x, w}).message);
}

TEST_CASE("cosine linear: mistakes are named") {
  CHECK_THROWS_AS(nn::CosineLinear(0, 3), ValueError);
  CHECK_THROWS_WITH_AS(nn::CosineLinear(2, 3, {.scale = 0}), "cosine_linear: the scale must be positive, it is 0", ValueError);
}
