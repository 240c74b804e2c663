// Logits of a range of classes: worked numbers, exact zeros outside, mistakes.
#include "methods/common/local_logits.h"

#include <doctest/doctest.h>

#include <cmath>

#include "tests/methods/check_close.h"

using namespace plumb;
using namespace plumb::methods;

TEST_CASE("local cross-entropy: only the range competes, and the others' gradient is exactly zero") {
  Tensor z = tensor({{0.8, 0.9, 2.0, -1.0}}, f64).requires_grad_();
  Tensor y = tensor({2});
  Tensor local = local_cross_entropy(z, y, 2, 4);
  CHECK(local.item() == doctest::Approx(0.0485874).epsilon(1e-5));
  CHECK(local_cross_entropy(z, y, 0, 4).item() == doctest::Approx(0.521084).epsilon(1e-5));
  local.backward();
  auto g = to_vector(z.grad());
  CHECK(g[0] == 0);
  CHECK(g[1] == 0);
  CHECK(g[3] == doctest::Approx(1 / (1 + std::exp(3.0))).epsilon(1e-12));
  CHECK(g[2] == doctest::Approx(-g[3]).epsilon(1e-12));
  Tensor rows = local_cross_entropy(tensor({{9.0, 1.0, 1.0}, {9.0, 2.0, 0.0}}, f64), tensor({1, 2}), 1, 3, Reduction::none);
  check_close(rows, {std::log(2.0), 2 + std::log1p(std::exp(-2.0))}, 1e-12);
}

TEST_CASE("energy: minus the log of the sum over the range") {
  Tensor z = tensor({{50.0, 12.0, 1.0, 0.0}, {50.0, 16.0, 2.0, 1.0}, {0.0, 5.0, 1.0, 0.0}, {0.0, 0.5, 0.2, 0.1}}, f64);
  check_close(energy_score(z, 1, 4), {-12.000023, -16.000001, -5.024745, -1.380099}, 1e-6);
}

TEST_CASE("local logits: mistakes are named") {
  Tensor z = zeros({2, 4});
  CHECK_THROWS_WITH_AS(local_cross_entropy(z, tensor({2, 1}), 2, 4), "local_cross_entropy: label 1 is outside the classes [2, 4)",
                       IndexError);
  CHECK_THROWS_WITH_AS(local_cross_entropy(z, tensor({2, 4}), 2, 4), "local_cross_entropy: label 4 is outside the classes [2, 4)",
                       IndexError);
  CHECK_THROWS_WITH_AS(local_cross_entropy(z, tensor({0, 0}), 2, 2), "local_cross_entropy: no classes [2, 2) among 4 logits", ValueError);
  CHECK_THROWS_WITH_AS(energy_score(z, 3, 5), "energy_score: no classes [3, 5) among 4 logits", ValueError);
  CHECK_THROWS_WITH_AS(energy_score(zeros({4}), 0, 4), "energy_score: logits must be [B, C], they are [4]", ShapeError);
}
