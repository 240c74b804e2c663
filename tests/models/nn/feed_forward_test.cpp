// Feed-forward networks, and attention with rotary positions and a cache.
#include <doctest/doctest.h>

#include "models/nn/attention.h"
#include "models/nn/feed_forward.h"
#include "ops/activation.h"
#include "ops/matmul.h"
#include "tests/models/module_gradients.h"

using namespace plumb;
using namespace plumb_test;

TEST_CASE("feed-forward: plain and gated forms are their formulas, with the derivatives of differences") {
  Tensor x = test::sample({2, 3, 4}, 1);
  nn::FeedForward plain(4, 6, {.dtype = f64}),
      swiglu(4, 6, {.activation = nn::ActivationKind::silu, .gated = true, .bias = false, .dtype = f64}),
      geglu(4, 6, {.gated = true, .dtype = f64});
  CHECK(test::difference(plain(x), linear(gelu(linear(x, plain.up.weight, plain.up.bias)), plain.down.weight, plain.down.bias)) == 0);
  Tensor inner = silu(matmul(x, mT(swiglu.gate->weight))) * matmul(x, mT(swiglu.up.weight));
  CHECK(test::difference(swiglu(x), matmul(inner, mT(swiglu.down.weight))) < 1e-14);
  CHECK_FALSE(plain.gate.has_value());
  CHECK(swiglu.num_parameters() == 3 * 24);
  for (nn::FeedForward* layer : {&plain, &swiglu, &geglu}) check_module_gradients(*layer, {x}, [&] { return (*layer)(x); });
  nn::FeedForward copy = geglu;
  CHECK(test::same_bits(copy(x), geglu(x)));
  CHECK_FALSE(copy.gate->weight.same_as(geglu.gate->weight));
}

TEST_CASE("feed-forward: activations by name") {
  Tensor x = test::sample({50}, 2);
  for (const char* name : {"gelu", "gelu_tanh", "relu", "silu"}) CHECK(std::string(nn::name(nn::activation_named(name))) == name);
  CHECK(test::same_bits(nn::activate(nn::ActivationKind::gelu_tanh, x), gelu(x, GeluForm::tanh)));
  CHECK_THROWS_WITH_AS(nn::activation_named("tanh"), "activation \"tanh\" is unknown; choose gelu, gelu_tanh, relu or silu", ConfigError);
}

TEST_CASE("attention: heads of another width, rotary positions: scores depend on distance alone") {
  nn::MultiheadAttention layer(
      6, 2, {.key_value_heads = 1, .head_width = 4, .bias = false, .out_bias = true, .rotary = RotaryOptions{}, .dtype = f64});
  CHECK(layer.query.weight.shape() == Shape{8, 6});
  CHECK(layer.key.weight.shape() == Shape{4, 6});
  CHECK_FALSE(layer.query.bias.defined());
  CHECK(layer.out.bias.shape() == Shape{6});
  Tensor x = test::sample({1, 7, 6}, 4);
  check_module_gradients(layer, {x}, [&] { return layer(x, {.causal = true}); });
  // With a window of 3, the output at a place is a function of the last three inputs wherever they stand.
  Tensor shifted = slice(x, 1, 2);
  Tensor a = slice(layer(x, {.causal = true, .window = 3}), 1, 4), b = slice(layer(shifted, {.causal = true, .window = 3}), 1, 2);
  CHECK(test::difference(a, b) < 1e-12);
}

TEST_CASE("attention: keys and values of a context can be projected once") {
  nn::MultiheadAttention layer(8, 2, {.key_width = 5, .dtype = f64});
  Tensor x = test::sample({2, 3, 8}, 5), context = test::sample({2, 4, 5}, 6);
  CHECK(test::same_bits(layer.attend(x, layer.project(context)), layer(x, context)));
}

TEST_CASE("key/value cache: rows can be reordered and repeated, and a full cache says so") {
  nn::KeyValueCache cache(1, 2, 1, 4, 2);
  Tensor k = tensor({{{{1.0, 1.0}}}, {{{2.0, 2.0}}}});
  auto [keys, values] = cache.extend(0, k, k * 10.0);
  cache.length = 1;
  CHECK(to_vector(keys) == std::vector<double>{1, 1, 2, 2});
  cache.reorder({1, 1, 0});
  auto [more, more_values] = cache.extend(0, zeros({3, 1, 1, 2}), zeros({3, 1, 1, 2}));
  CHECK(to_vector(more_values) == std::vector<double>{20, 20, 0, 0, 20, 20, 0, 0, 10, 10, 0, 0});
  cache.length = 4;
  CHECK_THROWS_WITH_AS(cache.extend(0, zeros({3, 1, 1, 2}), zeros({3, 1, 1, 2})),
                       "key_value_cache: keys [3, 1, 1, 2] and values [3, 1, 1, 2] behind 4 positions do not fit a cache of [3, 1, 4, 2]",
                       ShapeError);
}
