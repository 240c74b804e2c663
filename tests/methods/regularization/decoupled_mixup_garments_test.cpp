// Decoupled Mixup on garments: the measure of hard pairs, and the experiment on what stands in.
#include <doctest/doctest.h>

#include "engine/core/error.h"
#include "methods/regularization/decoupled_mixup/hard_pairs.h"
#include "methods/runner.h"
#include "ops/random.h"
#include "tests/methods/measured.h"

using namespace plumb;
using namespace plumb::methods;
using namespace plumb::methods::decoupled_mixup;

namespace plumb::methods::decoupled_mixup_garments {
Experiment experiment();
}

TEST_CASE("hard pairs: two classes each, between the shares that are asked for, and found where both lead") {
  Generator g(1);
  Tensor x = tensor({{0.0}, {1.0}, {2.0}, {3.0}}), labels = tensor({0, 0, 1, 1});
  HardPairs pairs = hard_pairs(x, labels, 200, g, 0.5, 0.5);
  auto first = to_vector<int64_t>(pairs.first), second = to_vector<int64_t>(pairs.second);
  auto values = to_vector(pairs.x);
  for (size_t i = 0; i < 200; ++i) {
    CHECK(first[i] != second[i]);
    CHECK((values[i] == 1 || values[i] == 1.5 || values[i] == 2));  // halves of 0 or 1 and 2 or 3
  }
  HardPairs two{zeros({3, 1}), tensor({0, 2, 1}), tensor({1, 0, 2})};
  Tensor logits = tensor({{3.0, 2.0, 1.0}, {3.0, 2.0, 1.0}, {-1.0, 0.0, 5.0}});
  CHECK(both_classes_found(logits, two) == doctest::Approx(2.0 / 3));
  CHECK_THROWS_WITH_AS(hard_pairs(x, labels, 1, g, 0.5, 1.5), "hard_pairs: shares in [0.5, 1.5] do not lie in [0, 1]", ValueError);
  CHECK_THROWS_WITH_AS(hard_pairs(x, tensor({1, 1, 1, 1}), 1, g), "hard_pairs: all examples are of one class", ValueError);
  CHECK_THROWS_WITH_AS(hard_pairs(x, tensor({1, 0}), 1, g), "hard_pairs: labels [2] for examples [4, 1]", ShapeError);
  CHECK_THROWS_WITH_AS(both_classes_found(zeros({2, 3}), two), "both_classes_found: logits [2, 3] for 3 pairs", ShapeError);
}

TEST_CASE("decoupled mixup on garments: every variant is measured on the digits that stand in") {
  Results results = run_experiment({"regularization", "decoupled_mixup_garments", &decoupled_mixup_garments::experiment, {}},
                                   {.budget = Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == decoupled_mixup_garments::experiment().variants.size());
  for (const CellResult& cell : results.cells) {
    CAPTURE(cell.variant);
    CHECK(measured(results, cell.variant, "test error (%)") < 75);  // twenty steps: below the 90 of chance
    CHECK(measured(results, cell.variant, "both classes found (%)") >= 0);
  }
}
