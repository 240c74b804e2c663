// Dropout's forms: rates, moments, masks that backward draws again, and gradient reversal.
#include "ops/dropout.h"

#include <doctest/doctest.h>

#include "engine/core/parallel.h"
#include "ops/gradient_reversal.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::test;

TEST_CASE("dropout: zeros at the rate, the rest scaled; word i of the stream decides about element i") {
  manual_seed(3);
  Tensor x = sample({7, 31}, 1, f32, 1, 2);
  for (int call = 0; call < 2; ++call) {
    uint64_t counter = default_generator().offset();
    std::vector<double> y = to_vector(dropout(x, 0.25)), v = to_vector(x);
    for (size_t i = 0; i < v.size(); ++i) {
      bool kept = philox(3, counter + i / 4)[i % 4] >= 0x3fffffffu;
      CHECK(y[i] == doctest::Approx(kept ? v[i] / 0.75 : 0).epsilon(1e-6));
    }
    CHECK(default_generator().offset() == counter + (7 * 31 + 3) / 4);
  }
  Tensor many = dropout(ones({100000}), 0.25);
  CHECK(mean(many).item() == doctest::Approx(1).epsilon(0.01));                 // 5 standard deviations: 5 √(1/3 / 10⁵)
  CHECK(sum(to(many == 0, f32)).item() == doctest::Approx(25000).epsilon(0.03));
}

TEST_CASE("dropout: the gradient passes where the element did, to any order, in every type") {
  for (DType t : {f64, f32, bf16, f16}) {
    Tensor x = ones({300}, t).requires_grad_();
    Tensor y = dropout(x, 0.5);
    CHECK(same_bits(grad({y}, {x}, {.retain_graph = true}, {ones({300}, t)})[0], y.detach()));
    CHECK(same_bits(grad({y}, {x}, {.create_graph = true}, {ones({300}, t)})[0].detach(), y.detach()));
  }
}

TEST_CASE("feature_dropout: whole channels go") {
  manual_seed(1);
  Tensor x = ones({8, 16, 3, 5}).requires_grad_();
  Tensor y = feature_dropout(x, 0.5);
  std::vector<double> v = to_vector(y);
  int dropped = 0;
  for (size_t k = 0; k < 8 * 16; ++k) {
    for (size_t i = 0; i < 15; ++i) CHECK(v[k * 15 + i] == v[k * 15]);
    CHECK((v[k * 15] == 0 || v[k * 15] == 2));
    dropped += v[k * 15] == 0;
  }
  CHECK(dropped > 30);
  CHECK(dropped < 98);
  CHECK(same_bits(grad({y}, {x}, {}, {ones({8, 16, 3, 5})})[0], y.detach()));
  CHECK(feature_dropout(zeros({2, 3}), 0.5).shape() == Shape{2, 3});
  CHECK(feature_dropout(zeros({2, 3, 0}), 0.5).shape() == Shape{2, 3, 0});
  CHECK_THROWS_WITH_AS(feature_dropout(zeros({3}), 0.5), "feature_dropout: x must be [n, channels, ..], it is [3]", ShapeError);
}

TEST_CASE("alpha_dropout: mean 0 and variance 1 stay, dropped elements take the limit") {
  manual_seed(2);
  Generator g(5);
  std::vector<double> normal(100000);
  for (double& v : normal) v = std::sqrt(-2 * std::log(1 - g.next_double())) * std::cos(6.283185307179586 * g.next_double());
  Tensor x = from_vector(normal).requires_grad_();
  Tensor y = alpha_dropout(x, 0.2);
  double m = mean(y).item();
  CHECK(std::abs(m) < 0.02);
  CHECK(mean(square(y)).item() - m * m == doctest::Approx(1).epsilon(0.03));
  double limit = -1.7580993408473766, a = 1 / std::sqrt(0.8 * (1 + 0.2 * limit * limit)), b = -a * 0.2 * limit;
  std::vector<double> v = to_vector(y), dx = to_vector(grad({y}, {x}, {}, {ones_like(y)})[0]);
  for (size_t i = 0; i < 1000; ++i) {
    bool dropped = dx[i] == 0;
    CHECK(v[i] == doctest::Approx(dropped ? a * limit + b : a * normal[i] + b));
    if (!dropped) CHECK(dx[i] == doctest::Approx(a));
  }
}

TEST_CASE("dropout: the same bits with 1, 2 and 3 threads; p = 0 draws nothing; p outside [0, 1) is named") {
  int before = num_threads();
  Tensor x = sample({99991}, 1, f32), first;
  for (int threads : {1, 2, 3}) {
    set_num_threads(threads);
    manual_seed(7);
    Tensor y = dropout(x, 0.1);
    if (!first.defined()) first = y;
    CHECK(same_bits(y, first));
  }
  set_num_threads(before);
  uint64_t offset = default_generator().offset();
  CHECK(dropout(x, 0).same_as(x));
  CHECK(default_generator().offset() == offset);
  CHECK(dropout(zeros({0}), 0.5).numel() == 0);
  CHECK_THROWS_WITH_AS(dropout(x, 1), "dropout: the probability must lie in [0, 1), it is 1", ValueError);
  CHECK_THROWS_WITH_AS(alpha_dropout(x, -0.1), "alpha_dropout: the probability must lie in [0, 1), it is -0.1", ValueError);
}

TEST_CASE("gradient_reversal: the value passes, the gradient turns round") {
  Tensor x = sample({2, 3}, 1).requires_grad_();
  Tensor y = gradient_reversal(transpose(x, 0, 1), 0.5);
  CHECK(difference(y, transpose(x, 0, 1)) == 0);
  Tensor dx = grad({y}, {x}, {}, {full({3, 2}, 4.0, f64)})[0];
  CHECK(to_vector(dx) == std::vector<double>(6, -2));
}
