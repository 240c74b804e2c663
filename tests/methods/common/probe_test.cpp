// Probes: they find what can be found, depend on their seeds alone, and choose by validation.
#include "methods/common/probe.h"

#include <doctest/doctest.h>

#include "engine/core/generator.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"

using namespace plumb;
using namespace plumb::methods;

namespace {

struct Points {
  Tensor x, y;
};
// Two numbers beside three of noise; the class is the quadrant's parity (`crossed`) or the sign of the first number.
Points points(uint64_t seed, bool crossed) {
  manual_seed(seed);
  Tensor x = randn({400, 5}) * 3 + 10;  // away from 0 and 1
  Tensor a = select(x, 1, 0) > 10, b = select(x, 1, 1) > 10;
  return {x, to(crossed ? logical_xor(a, b) : a, i64)};
}

}  // namespace

TEST_CASE("probe: a linear one separates what a line separates, hidden layers more") {
  Points train = points(1, false), test = points(2, false), crossed = points(3, true), crossed_test = points(4, true);
  manual_seed(0);
  CHECK(Probe(train.x, train.y, 2, {.lr = 1e-1, .epochs = 30}).accuracy(test.x, test.y) > 0.95);
  CHECK(Probe(crossed.x, crossed.y, 2, {.lr = 1e-2, .epochs = 30}).accuracy(crossed_test.x, crossed_test.y) < 0.65);
  CHECK(Probe(crossed.x, crossed.y, 2, {.hidden = {32}, .lr = 1e-2, .epochs = 30}).accuracy(crossed_test.x, crossed_test.y) > 0.85);
}

TEST_CASE("probe: the same seeds give the same bits; features are flattened") {
  Points train = points(1, false);
  auto logits = [&](uint64_t seed, const Tensor& x) {
    manual_seed(7);
    return to_vector(Probe(x, train.y, 2, {.epochs = 3, .seed = seed})(x));
  };
  CHECK(logits(1, train.x) == logits(1, train.x));
  CHECK(logits(1, train.x) != logits(2, train.x));
  CHECK(logits(1, train.x) == logits(1, reshape(train.x, {400, 5, 1})));
}

TEST_CASE("probe: the learning rate is chosen by validation, and progress is told") {
  Points train = points(1, false), validation = points(2, false);
  int epochs = 0;
  manual_seed(0);
  ProbeOptions options{.epochs = 5, .progress = [&] { ++epochs; }};
  Probe best = best_probe(train.x, train.y, validation.x, validation.y, 2, {1e-9, 1e-1}, options);
  CHECK(best.accuracy(validation.x, validation.y) > 0.9);  // at 1e-9 it would still be at its start
  CHECK(epochs == 10);
  CHECK_THROWS_WITH_AS(best_probe(train.x, train.y, train.x, train.y, 2, {}), "probe: there are no learning rates to choose from",
                       ValueError);
  CHECK_THROWS_WITH_AS(Probe(train.x, zeros({3}, i64), 2), "probe: labels [3] do not fit features [400, 5]", ShapeError);
  CHECK_THROWS_WITH_AS(Probe(train.x, train.y, 2, {.epochs = 0}), "probe: 0 epochs of batches of 128", ValueError);
  CHECK_THROWS_WITH_AS(Probe(zeros({0, 5}), zeros({0}, i64), 2), "probe: there are no features in [0, 5]", ValueError);
}
