// Adapters of one-step generators: nothing changes before training, and no gradient reaches the generator.
#include "methods/common/control_adapter.h"

#include <doctest/doctest.h>

#include "models/optim/adam.h"
#include "ops/elementary.h"
#include "ops/matmul.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::methods;

TEST_CASE("control_adapter: g = f before training, and only the adapter learns") {
  manual_seed(1);
  Tensor w = randn({3, 5}).requires_grad_();
  OneStepGenerator f = [&](const Tensor& z) { return tanh(matmul(z, w)); };
  for (bool sees : {false, true}) {
    ControlAdapter adapter({.noise = 3, .control = 2, .outputs = 5, .hidden = {8}, .sees_output = sees});
    ControlledGenerator g = adapted(f, adapter);
    Tensor z = randn({4, 3}), c = randn({4, 2});
    CHECK(test::same_bits(g(z, c), f(z)));
    optim::Adam adam(adapter.parameters(), {.lr = 0.1});
    for (int k = 0; k < 2; ++k) {  // the first step moves the last layer, the second all
      adam.zero_grad();
      sum(square(g(z, c) - 1)).backward();
      adam.step();
    }
    CHECK_FALSE(w.grad().defined());
    for (const Tensor& p : adapter.parameters()) CHECK(max(abs(p.grad())).item() > 0);
    CHECK_FALSE(test::same_bits(g(z, c), f(z)));
  }
}

TEST_CASE("control_adapter: bad input is one clear line") {
  ControlAdapter adapter({.noise = 3, .control = 2, .outputs = 5, .hidden = {4}});
  CHECK_THROWS_WITH_AS(adapter(zeros({4, 3}), zeros({4, 3}), zeros({4, 5})),
                       "control_adapter: the control must be [B, 2] with B = 4, it is [4, 3]", ShapeError);
  CHECK_THROWS_WITH_AS(adapter(zeros({4, 3}), zeros({4, 2}), zeros({4, 6})),
                       "control_adapter: the generator's output must be [B, 5] with B = 4, it is [4, 6]", ShapeError);
  CHECK_THROWS_WITH_AS(ControlAdapter({.control = 0}), "control_adapter: needs noise, a control and outputs, got 2, 0 and 2", ValueError);
}
