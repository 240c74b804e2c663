// Populations trained on subsets: what a member learns depends on its own examples alone.
#include "methods/common/population_training.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/core/generator.h"
#include "models/optim/sgd.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"

using namespace plumb;
using namespace plumb::methods;

namespace {

const mlp::MlpConfig kConfig{.inputs = 2, .hidden = {6}, .outputs = 3};

struct Toy {
  Tensor x, labels, masks;
};
Toy toy() {
  Generator g(4);
  return {randn({8, 2}, {.generator = &g}), randint(0, 3, {8}, {.dtype = i64, .generator = &g}),
          tensor({{true, true, true, true, true, true, true, true},
                  {true, false, true, false, false, false, true, false},
                  {false, true, true, true, true, false, false, true}})};
}

}  // namespace

TEST_CASE("train_population: a member is what full-batch SGD on its subset makes of its start") {
  Toy t = toy();
  mlp::MlpPopulation population(kConfig, {1, 2, 3});
  mlp::Mlp alone = population.member(1);
  train_population(population, t.x, t.labels, t.masks, {.steps = 15});
  Tensor places = tensor({0, 2, 6}), x = index_select(t.x, 0, places), y = index_select(t.labels, 0, places);
  optim::SGD sgd(alone.parameters(), {.lr = 0.1, .momentum = 0.9, .weight_decay = 1e-3});
  for (int step = 0; step < 15; ++step) {
    sgd.zero_grad();
    cross_entropy(alone(x), y).backward();
    sgd.step();
  }
  auto got = to_vector(select(population_logits(population, t.x), 0, 1)), wanted = to_vector(alone(t.x));
  for (size_t k = 0; k < got.size(); ++k) CHECK(std::abs(got[k] - wanted[k]) < 1e-4);
}

TEST_CASE("train_population: how many members share a pass changes nothing but rounding") {
  Toy t = toy();
  mlp::MlpPopulation one(kConfig, {1, 2, 3}), all = one;
  double last = 0;
  train_population(one, t.x, t.labels, t.masks, {.steps = 10, .together = 1, .progress = [&](double share) { last = share; }});
  train_population(all, t.x, t.labels, t.masks, {.steps = 10});
  CHECK(last == 1);
  auto a = to_vector(population_logits(one, t.x, 2)), b = to_vector(population_logits(all, t.x));
  for (size_t k = 0; k < a.size(); ++k) CHECK(std::abs(a[k] - b[k]) < 1e-5);
}

TEST_CASE("same_masks: one row for all members") {
  Tensor masks = same_masks(2, 4, {1, 3});
  CHECK(masks.shape() == Shape{2, 4});
  CHECK(to_vector<int>(masks) == std::vector<int>{0, 1, 0, 1, 0, 1, 0, 1});
  CHECK_THROWS_WITH_AS(same_masks(2, 4, {4}), "same_masks: example 4 is outside [0, 4)", IndexError);
}

TEST_CASE("train_population: mistakes are named") {
  Toy t = toy();
  mlp::MlpPopulation population(kConfig, {1, 2});
  CHECK_THROWS_WITH_AS(train_population(population, t.x, t.labels, t.masks),
                       "train_population: examples [8, 2], labels [8] and masks [3, 8] for 2 members", ShapeError);
  CHECK_THROWS_WITH_AS(train_population(population, t.x, t.labels, same_masks(2, 8, {})), "train_population: member 0 has no examples",
                       ValueError);
  CHECK_THROWS_WITH_AS(train_population(population, t.x, t.labels, same_masks(2, 8, {1}), {.steps = 0}),
                       "train_population: 0 steps of 16 members", ValueError);
  CHECK_THROWS_WITH_AS(train_population(population, t.x, t.labels, zeros({2, 8})), "train_population: masks must be bool", DTypeError);
}
