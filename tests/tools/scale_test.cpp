// The formulas of `plumb bench scale`.
#include "tools/bench/scale.h"

#include <doctest/doctest.h>

using namespace plumb;
using namespace plumb::tools;

TEST_CASE("scale: parameters are counted as the model has them") {
  for (bool bias : {false, true})
    for (bool tied : {false, true}) {
      transformer::GptConfig c{.vocab = 19, .layers = 3, .heads = 2, .width = 8, .context = 5, .bias = bias, .tied = tied, .inner = 20};
      CHECK(parameter_count(c) == static_cast<double>(transformer::Gpt(c).num_parameters()));
    }
}

TEST_CASE("scale: what a ring sends") {
  CHECK(ring_all_reduce(1000, 1) == 0);
  CHECK(ring_all_reduce(1000, 2) == 1000);
  CHECK(ring_all_reduce(1000, 4) == 1500);
  CHECK(ring_half(1000, 4) == 750);
}

TEST_CASE("scale: a plan by hand") {
  // 1 layer of width 2, vocabulary 3, context 4: 12 · 4 + 2 · 2 + (3 + 4) 2 + 2 = 68 parameters.
  transformer::GptConfig c{.vocab = 3, .layers = 1, .heads = 1, .width = 2, .context = 4};
  Cluster cluster{
      .gpus = 2, .peak_flops = 1000, .memory_bytes = 1e6, .memory_bandwidth = 952, .network_bandwidth = 136, .utilisation = 0.5};
  Plan p = plan(c, 5, cluster, {.block = 10, .vocabulary = 100});
  CHECK(p.parameters == 68);
  CHECK(p.weights == 272);
  CHECK(p.optimizer_whole == 544);
  CHECK(p.optimizer_sharded == 272);
  CHECK(p.activations == 20 * (10 * 2 + 100 * 3));
  CHECK(p.activations_recomputed == p.activations + 20 * 4 * 2);
  CHECK(p.flops == 20 * (6 * (48 + 6) + 6 * 4 * 2));
  CHECK(p.sent == 272);       // half of the gradients, half of the weights
  CHECK(p.scatter_s == 1);
  CHECK(p.update_s == 1);     // 34 · 28 bytes
  CHECK(p.forward_s == p.flops / 1500);
  CHECK(p.step_s == p.forward_s + p.backward_s + 2);
}
