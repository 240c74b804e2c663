// Populations of perceptrons: each member is the perceptron of its seed, alone or trained beside others.
#include "models/mlp/population.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/core/generator.h"
#include "models/optim/sgd.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;

namespace {
const mlp::MlpConfig kConfig{.inputs = 3, .hidden = {5, 4}, .outputs = 2};
}

TEST_CASE("mlp population: members are the perceptrons of their seeds, and the generator is left alone") {
  manual_seed(3);
  default_generator().next_u32();
  uint64_t before = default_generator().offset();
  mlp::MlpPopulation population(kConfig, {11, 12, 13});
  CHECK(default_generator().offset() == before);
  CHECK(default_generator().seed() == 3);
  Tensor x = randn({7, 3}), all = population(x);
  CHECK(all.shape() == Shape{3, 7, 2});
  for (int64_t p = 0; p < 3; ++p) {
    manual_seed(11 + static_cast<uint64_t>(p));
    mlp::Mlp alone(kConfig);
    auto own = to_vector(select(all, 0, p)), wanted = to_vector(alone(x)), member = to_vector(population.member(p)(x));
    for (size_t k = 0; k < own.size(); ++k) CHECK(own[k] == doctest::Approx(wanted[k]).epsilon(1e-5));
    CHECK(member == wanted);
  }
}

TEST_CASE("mlp population: inputs may be each member's own, parts are copies, and put brings them back") {
  mlp::MlpPopulation population(kConfig, {1, 2, 3, 4});
  Tensor x = randn({4, 6, 3}), y = population(x);
  auto second = to_vector(population.part(1, 2)(select(x, 0, 1)));
  auto wanted = to_vector(select(y, 0, 1));
  for (size_t k = 0; k < wanted.size(); ++k) CHECK(second[k] == doctest::Approx(wanted[k]).epsilon(1e-5));
  mlp::MlpPopulation part = population.part(1, 3), copy = population;
  {
    Tensor weight = part.parameters()[0].detach();
    fill_(weight, 0.5);
  }
  CHECK(to_vector(population(x)) == to_vector(y));
  population.put(2, part);
  CHECK(to_vector(select(population(x), 0, 1)) == wanted);
  CHECK(to_vector(select(population.parameters()[0], 0, 2)) == std::vector<double>(15, 0.5));
  CHECK(to_vector(copy(x)) == to_vector(y));
}

TEST_CASE("mlp population: one optimiser of a sum over members trains each as if alone") {
  mlp::MlpPopulation population(kConfig, {5, 6});
  mlp::Mlp alone = population.member(1);
  Generator g(1);
  Tensor x = randn({9, 3}, {.generator = &g}), target = randn({9, 2}, {.generator = &g});
  optim::SGD all(population.parameters(), {.lr = 0.05, .momentum = 0.9, .weight_decay = 1e-2}),
      one(alone.parameters(), {.lr = 0.05, .momentum = 0.9, .weight_decay = 1e-2});
  for (int step = 0; step < 20; ++step) {
    all.zero_grad();
    (sum(square(population(x) - target)) / 9.0).backward();
    all.step();
    one.zero_grad();
    (sum(square(alone(x) - target)) / 9.0).backward();
    one.step();
  }
  auto got = to_vector(select(population(x), 0, 1)), wanted = to_vector(alone(x));
  for (size_t k = 0; k < got.size(); ++k) CHECK(std::abs(got[k] - wanted[k]) < 1e-4);
}

TEST_CASE("mlp population: mistakes are named") {
  CHECK_THROWS_WITH_AS(mlp::MlpPopulation(kConfig, {}), "mlp population: there are no members", ValueError);
  mlp::MlpConfig normed = kConfig;
  normed.norm = true;
  CHECK_THROWS_WITH_AS(mlp::MlpPopulation(normed, {1}), "mlp population: layer norm and dropout are not for populations", ValueError);
  mlp::MlpPopulation population(kConfig, {1, 2});
  CHECK_THROWS_WITH_AS(population(zeros({4, 2})), "mlp population: 2 members take [n, 3] or [2, n, 3], got [4, 2]", ShapeError);
  CHECK_THROWS_WITH_AS(population(zeros({3, 4, 3})), "mlp population: 2 members take [n, 3] or [2, n, 3], got [3, 4, 3]", ShapeError);
  CHECK_THROWS_WITH_AS(population.member(2), "mlp population: member 2 is outside [0, 2)", IndexError);
  CHECK_THROWS_WITH_AS(population.part(1, 1), "mlp population: members 1 to 1 of 2", IndexError);
  CHECK_THROWS_WITH_AS(population.put(1, population), "mlp population: 2 members at 1 of 2", IndexError);
  mlp::MlpPopulation other({.inputs = 3, .hidden = {6, 4}, .outputs = 2}, {1});
  CHECK_THROWS_AS(population.put(0, other), ShapeError);
}
