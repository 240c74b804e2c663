// The tabular transformer against its paper written out (tests/reference/make.py) and on its own terms.
#include <doctest/doctest.h>

#include "engine/core/generator.h"
#include "models/transformer/tabular.h"
#include "tests/models/module_gradients.h"
#include "tests/models/reference.h"

using namespace plumb;
using namespace plumb::transformer;
using namespace plumb_test;

namespace {

TabularConfig small() {
  return {.numeric = 2, .categories = {3, 5}, .outputs = 3, .layers = 1, .heads = 2, .width = 8, .inner = 6, .attention_dropout = 0};
}

}  // namespace

TEST_CASE("tabular transformer: the paper's formulas, written out independently") {
  TabularTransformer model(small());
  model.load_state(reference("tabular", "model"));
  StateDict expected = reference("tabular");
  CHECK(largest_difference(model(expected["numbers"], expected["categories"]), expected["output"]) < rounding(expected["output"]));
}

TEST_CASE("tabular transformer: derivatives match differences; numbers or categories alone will do") {
  manual_seed(1);
  TabularTransformer model(small());
  model.to(f64);
  Tensor numbers = test::sample({4, 2}, 1), categories = tensor({{0, 4}, {1, 3}, {2, 2}, {0, 0}});
  check_module_gradients(model, {numbers}, [&] { return model(numbers, categories); }, 4);
  TabularConfig config = small();
  config.categories = {};
  CHECK(TabularTransformer(config)(zeros({4, 2})).shape() == Shape{4, 3});
  config = small();
  config.numeric = 0;
  CHECK(TabularTransformer(config)({}, categories).shape() == Shape{4, 3});
}

TEST_CASE("tabular transformer: a state loads into another; settings, sizes and categories are checked") {
  Tensor numbers = test::sample({1, 2}, 1, f32), categories = tensor({{0, 4}});
  auto made = [](uint64_t seed) {
    manual_seed(seed);
    return TabularTransformer(small());
  };
  TabularTransformer a = made(2), b = made(3);
  auto run = [&](const TabularTransformer& m) { return m(numbers, categories); };
  check_state_round_trip<TabularTransformer>(a, b, run);
  CHECK(test::same_bits(run(made(2)), run(made(2))));
  CHECK(TabularConfig::from_json(small().to_json()).to_json() == small().to_json());
  CHECK_THROWS_WITH_AS(a(numbers), "tabular: takes numbers [B, 2] and categories [B, 2], got [1, 2] and none", ShapeError);
  CHECK_THROWS_AS(a(numbers, tensor({{3, 4}})), IndexError);
  CHECK_THROWS_WITH_AS(TabularTransformer(TabularConfig{}), "tabular: the table has no columns", ConfigError);
}
