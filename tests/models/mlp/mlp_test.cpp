// The multi-layer perceptron against plain loops, and its configuration.
#include <doctest/doctest.h>

#include <cmath>

#include "engine/core/generator.h"
#include "models/mlp/mlp.h"
#include "ops/random.h"

using namespace plumb;
using namespace plumb::mlp;

TEST_CASE("mlp: the forward pass is that of plain loops") {
  manual_seed(2);
  Mlp net({.inputs = 6, .hidden = {5, 4}, .outputs = 3});
  net.to(f64);
  CHECK(net.named_parameters()[2].name == "layers.1.weight");
  Tensor x = randn({2, 2, 3}, {.dtype = f64}), y = net(x);
  REQUIRE(y.shape() == Shape{2, 3});
  StateDict s = net.state();
  for (int64_t b = 0; b < 2; ++b) {
    std::vector<double> v(x.data<double>() + 6 * b, x.data<double>() + 6 * (b + 1));
    for (int layer = 0; layer < 3; ++layer) {
      const Tensor &w = s.at("layers." + std::to_string(layer) + ".weight"), &bias = s.at("layers." + std::to_string(layer) + ".bias");
      std::vector<double> next;
      for (int64_t o = 0; o < w.size(0); ++o) {
        double total = bias.data<double>()[o];
        for (int64_t i = 0; i < w.size(1); ++i) total += w.data<double>()[o * w.size(1) + i] * v[static_cast<size_t>(i)];
        next.push_back(layer < 2 ? std::max(total, 0.0) : total);
      }
      v = next;
    }
    for (int64_t o = 0; o < 3; ++o) CHECK(y.data<double>()[3 * b + o] == doctest::Approx(v[static_cast<size_t>(o)]).epsilon(1e-12));
  }
}

TEST_CASE("mlp: activations, norms and dropout; a linear one; configurations") {
  for (const char* activation : {"relu", "gelu", "silu", "tanh"})
    CHECK(Mlp({.inputs = 4, .hidden = {8}, .outputs = 2, .activation = activation, .norm = true, .dropout = 0.5})(randn({3, 4})).shape() ==
          Shape{3, 2});
  CHECK(Mlp({.inputs = 4, .hidden = {}, .outputs = 2}).num_parameters() == 10);
  MlpConfig c{.inputs = 7, .hidden = {3, 2}, .activation = "silu", .norm = true};
  CHECK(MlpConfig::from_json(c.to_json()).to_json() == c.to_json());
  CHECK_THROWS_WITH_AS(Mlp({.activation = "sine"}), "--activation sine is unknown; choose relu, gelu, silu or tanh", ConfigError);
  CHECK_THROWS_WITH_AS(Mlp({.hidden = {0}}), "--hidden must be at least 1, it is 0", ConfigError);
  CHECK_THROWS_WITH_AS(Mlp({.inputs = 4})(zeros({2, 5})), "mlp: takes 4 numbers an example, got [2, 5]", ShapeError);
}
