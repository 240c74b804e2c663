// Combinations of checkpoints: worked ones, exact where they must be, and what an average gives to each.
#include <doctest/doctest.h>

#include <cmath>
#include <numeric>

#include "models/nn/containers.h"
#include "models/nn/linear.h"
#include "models/optim/checkpoint_bank.h"
#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/shape.h"
#include "tests/ops/samples.h"

using namespace plumb;
using optim::CheckpointBank;
using optim::ema_coefficients;

TEST_CASE("ema_coefficients: worked, of sum 1, and what the recursion that starts at the first checkpoint gives") {
  auto equal = [](const std::vector<double>& a, const std::vector<double>& b) {
    REQUIRE(a.size() == b.size());
    for (size_t i = 0; i < a.size(); ++i) CHECK(a[i] == doctest::Approx(b[i]).epsilon(1e-12));
  };
  equal(ema_coefficients(5, 0.5), {0.0625, 0.0625, 0.125, 0.25, 0.5});
  equal(ema_coefficients(5, 0.9), {0.6561, 0.0729, 0.081, 0.09, 0.1});
  for (double g : {0.3, 0.98}) {
    auto a = ema_coefficients(40, g);
    CHECK(std::accumulate(a.begin(), a.end(), 0.0) == doctest::Approx(1).epsilon(1e-12));
    double average = std::sin(1.0), combined = 0;
    for (int i = 2; i <= 40; ++i) average = g * average + (1 - g) * std::sin(i);
    for (int i = 1; i <= 40; ++i) combined += a[static_cast<size_t>(i - 1)] * std::sin(i);
    CHECK(combined == doctest::Approx(average).epsilon(1e-12));
  }
  CHECK_THROWS_WITH_AS(ema_coefficients(1, 0.5), "ema_coefficients: takes at least 2 checkpoints, got 1", ValueError);
  CHECK_THROWS_WITH_AS(ema_coefficients(5, 1), "ema_coefficients: the decay must lie in (0, 1), it is 1", ValueError);
  CHECK_THROWS_AS(ema_coefficients(5, 0), ValueError);
}

TEST_CASE("checkpoint_bank: a worked combination; one-hot coefficients and equal rows are exact, bit for bit") {
  CheckpointBank bank;
  bank.offer(0, {tensor({0.0, 0.0})});
  bank.offer(1, {tensor({1.0, 0.0})});
  bank.offer(2, {tensor({0.0, 1.0})});
  auto got = to_vector(bank.combined({0.2, 1.2, -0.4}));
  CHECK(got[0] == doctest::Approx(1.2));
  CHECK(got[1] == doctest::Approx(-0.4));
  CheckpointBank many, same;
  Tensor x = test::sample({10'001}, 1, f32, -3, 3);
  for (int64_t k = 0; k < 4; ++k) {
    many.offer(k, {test::sample({10'001}, static_cast<uint64_t>(k), f32, -3, 3) * std::pow(10.0, static_cast<double>(k) - 2)});
    same.offer(k, {x});
  }
  for (int64_t hot = 0; hot < 4; ++hot) {
    std::vector<double> a(4, 0.0);
    a[static_cast<size_t>(hot)] = 1;
    CHECK(test::same_bits(many.combined(a), select(many.matrix(), 0, hot)));
  }
  CHECK(test::same_bits(same.combined({7.3, -9.1, 2.5, 0.3}), x));
  // against f64
  Tensor rows = to(many.matrix(), f64),
         sum = select(rows, 0, 0) * 0.3 - select(rows, 0, 1) * 1.7 + select(rows, 0, 2) * 2.1 + select(rows, 0, 3) * 0.3;
  CHECK(test::difference(to(many.combined({0.3, -1.7, 2.1, 0.3}), f64), sum) < 1e-7);
  CHECK(test::difference(to(many.combined({1, 1, 1, 1}, true), f64),
                         select(rows, 0, 0) + select(rows, 0, 1) + select(rows, 0, 2) + select(rows, 0, 3)) < 1e-7);
}

TEST_CASE("checkpoint_bank: the window keeps the steps that it names, the newest of them, and a model gets the weights back") {
  CheckpointBank bank({.first = 4, .interval = 3, .most = 2});
  for (int64_t step = 0; step <= 12; ++step)
    CHECK(bank.offer(step, {full({2}, static_cast<double>(step))}) == (step == 4 || step == 7 || step == 10));
  CHECK(bank.size() == 2);
  CHECK(to_vector(bank.matrix()) == std::vector<double>{7, 7, 10, 10});

  manual_seed(1);
  nn::Linear a(3, 2), b(3, 2), into(3, 2);
  CheckpointBank two;
  two.offer(0, a.parameters());
  two.offer(1, b.parameters());
  into.requires_grad_(false);
  two.combine({0, 1}, into.parameters());
  CHECK(test::same_bits(into.weight, b.weight));
  CHECK(test::same_bits(into.bias, b.bias));
}

TEST_CASE("checkpoint_bank: what does not fit is an error of one line") {
  CheckpointBank bank;
  bank.offer(0, {ones({3})});
  CHECK_THROWS_WITH_AS(bank.combined({1}), "checkpoint_bank: combining takes at least 2 checkpoints, there are 1", ValueError);
  CHECK_THROWS_WITH_AS(bank.offer(1, {ones({4})}), "checkpoint_bank: a checkpoint of 4 parameters among others of 3", ShapeError);
  bank.offer(1, {ones({3})});
  CHECK_THROWS_WITH_AS(bank.combined({1}), "checkpoint_bank: 1 coefficients for 2 checkpoints", ValueError);
  CHECK_THROWS_WITH_AS(bank.combined({0.4, 0.4}), "checkpoint_bank: coefficients must sum to 1, they sum to 0.8", ValueError);
  CHECK_THROWS_WITH_AS(bank.combine({0.5, 0.5}, {ones({2})}), "checkpoint_bank: 3 parameters do not fit into 2", ShapeError);
  CHECK_THROWS_AS(CheckpointBank({.interval = 0}), ValueError);
  CHECK_THROWS_WITH_AS(CheckpointBank().matrix(), "checkpoint_bank: there are no checkpoints", ValueError);
}

TEST_CASE("checkpoint_bank: parameters of several types keep their digits") {
  Tensor narrow = full({2}, 1, bf16), wide = full({2}, 1.000976562, f32);
  CheckpointBank bank({.first = 0, .interval = 1});
  for (int64_t step : {0, 1}) bank.offer(step, {narrow, wide});
  fill_(wide, 0);
  bank.combine({0.5, 0.5}, {narrow, wide});
  CHECK(to_vector(wide) == to_vector(full({2}, 1.000976562, f32)));
}
