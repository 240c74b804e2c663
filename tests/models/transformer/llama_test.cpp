// The Llama-style decoder on its own terms; against the reference library in pretrained_test.cpp.
#include <doctest/doctest.h>

#include "engine/autograd/grad_mode.h"
#include "engine/core/generator.h"
#include "models/transformer/llama.h"
#include "ops/shape.h"
#include "tests/models/module_gradients.h"

using namespace plumb;
using namespace plumb::transformer;
using namespace plumb_test;

namespace {

LlamaConfig small() {
  return {.vocab = 11, .layers = 2, .heads = 4, .key_value_heads = 2, .width = 16, .inner = 12, .context = 12, .window = 5};
}

Llama made(uint64_t seed, DType dtype = f32) {
  manual_seed(seed);
  Llama model(small());
  model.to(dtype);
  return model;
}

}  // namespace

TEST_CASE("llama: derivatives of a block and of the whole match differences") {
  manual_seed(1);
  LlamaConfig config = small();
  config.attention_bias = config.mlp_bias = true;
  LlamaBlock block(config);
  block.to(f64);
  Tensor x = test::sample({2, 7, 16}, 3);
  check_module_gradients(block, {x}, [&] { return block(x); });
  Llama model = made(2, f64);
  Tensor tokens = tensor({{1, 5, 2, 7, 7, 0}, {3, 3, 10, 9, 1, 1}});
  check_module_gradients(model, {}, [&] { return model(tokens); }, 4);
}

TEST_CASE("llama: tokens one at a time, or a few, with a cache give the logits of the whole sequence") {
  Llama model = made(3);
  model.eval();
  NoGrad off;
  Tensor tokens = tensor({{1, 5, 2, 7, 7, 0, 10, 3, 3, 4}, {2, 2, 9, 8, 1, 0, 0, 6, 5, 4}}), whole = model(tokens);
  KeyValueCache cache = model.make_cache(2);
  int64_t done = 0;
  for (int64_t step : {3, 1, 4, 1, 1}) {
    Tensor last = model.next(slice(tokens, 1, done, done + step), cache);
    done += step;
    CHECK(test::difference(last, select(whole, 1, done - 1)) < 1e-5);
  }
  CHECK(cache.length == 10);
}

TEST_CASE("llama: what a token cannot see does not change it: later tokens, and those before its window") {
  LlamaConfig config = small();
  config.layers = 1;
  manual_seed(4);
  Llama model(config);
  NoGrad off;
  Tensor a = model(tensor({{1, 2, 3, 4, 5, 6, 7, 8}})), b = model(tensor({{9, 2, 3, 4, 5, 6, 7, 1}}));
  for (int64_t t : {5, 6}) CHECK(test::same_bits(select(a, 1, t), select(b, 1, t)));  // token 0 is 5 and 6 places away, the window is 5
  for (int64_t t : {0, 4, 7}) CHECK_FALSE(test::same_bits(select(a, 1, t), select(b, 1, t)));
}

TEST_CASE("llama: a state loads into another; a seed gives one model; tied weights are one tensor") {
  Llama a = made(5), b = made(6);
  auto run = [](const Llama& m) { return m(tensor({{1, 2, 3}})); };
  check_state_round_trip<Llama>(a, b, run);
  CHECK(test::same_bits(run(made(5)), run(made(5))));
  LlamaConfig config = small();
  config.tied = true;
  CHECK(a.num_parameters() - Llama(config).num_parameters() == 11 * 16);
}

TEST_CASE("llama: wrong sizes and settings are named") {
  Llama model = made(7);
  CHECK_THROWS_WITH_AS(model(zeros({1, 13}, i64)), "llama: 13 tokens are more than the context of 12", ShapeError);
  CHECK_THROWS_WITH_AS(model(zeros({4}, i64)), "llama: takes tokens [B, T], got [4]", ShapeError);
  LlamaConfig config = small();
  config.key_value_heads = 3;
  CHECK_THROWS_WITH_AS(Llama{config}, "llama: heads 4 is not a multiple of key_value_heads 3", ConfigError);
  config = small();
  config.head_width = 3;
  CHECK_THROWS_WITH_AS(Llama{config}, "llama: rotary positions need heads of even width, it is 3", ConfigError);
  CHECK(LlamaConfig::from_json(small().to_json()).to_json() == small().to_json());
  CHECK_THROWS_WITH_AS(LlamaConfig::from_json("[]"), "llama: not a JSON object", ConfigError);
}
