// The BERT-style encoder on its own terms; against the reference library in pretrained_test.cpp.
#include <doctest/doctest.h>

#include "engine/autograd/grad_mode.h"
#include "engine/core/generator.h"
#include "models/transformer/encoder.h"
#include "ops/shape.h"
#include "tests/models/module_gradients.h"

using namespace plumb;
using namespace plumb::transformer;
using namespace plumb_test;

namespace {

EncoderConfig small() {
  return {.vocab = 13, .layers = 2, .heads = 2, .width = 8, .inner = 12, .context = 10, .dropout = 0, .attention_dropout = 0};
}

Encoder made(uint64_t seed, DType dtype = f32) {
  manual_seed(seed);
  Encoder model(small());
  model.to(dtype);
  return model;
}

}  // namespace

TEST_CASE("encoder: derivatives of a block, and of the whole with padding and segments, match differences") {
  manual_seed(1);
  EncoderBlock block(small());
  block.to(f64);
  Tensor x = test::sample({2, 5, 8}, 3), mask = tensor({{{{true, true, true, true, true}}}, {{{true, true, true, false, false}}}});
  check_module_gradients(block, {x}, [&] { return block(x, mask); });
  Encoder model = made(2, f64);
  Tensor tokens = tensor({{1, 5, 2, 7}, {3, 3, 0, 0}}), seen = tensor({{true, true, true, true}, {true, true, false, false}}),
         types = tensor({{0, 0, 1, 1}, {0, 1, 0, 0}});
  // The padding token's row has no derivative by design; differences would see one where it stands, so what is watched are the real places.
  check_module_gradients(model, {}, [&] { return model.pooled(model(tokens, seen, types)); });
}

TEST_CASE("encoder: padding changes nothing, and segments default to 0") {
  Encoder model = made(3);
  model.eval();
  NoGrad off;
  Tensor alone = model(tensor({{1, 5, 2}}));
  Tensor padded =
      model(tensor({{1, 5, 2, 0, 0}, {4, 4, 4, 4, 4}}), tensor({{true, true, true, false, false}, {true, true, true, true, true}}));
  CHECK(test::difference(slice(select(padded, 0, 0), 0, 0, 3), select(alone, 0, 0)) < 1e-5);
  CHECK(test::same_bits(model(tensor({{1, 5, 2}}), {}, zeros({1, 3}, i64)), alone));
}

TEST_CASE("encoder: the mean over real tokens") {
  Tensor hidden = tensor({{{1.0, 2.0}, {3.0, 6.0}, {100.0, 100.0}}, {{7.0, 7.0}, {7.0, 7.0}, {7.0, 7.0}}});
  Tensor mask = tensor({{true, true, false}, {false, false, false}});
  CHECK(to_vector(masked_mean(hidden, mask)) == std::vector<double>{2, 4, 0, 0});
  CHECK_THROWS_WITH_AS(masked_mean(hidden, tensor({{true}})),
                       "masked_mean: hidden states [2, 3, 2] and mask [1, 1] do not fit [B, T, width] and [B, T]", ShapeError);
}

TEST_CASE("encoder: a state loads into another; a seed gives one model; dropout is off in evaluation") {
  Encoder a = made(4), b = made(5);
  auto run = [](const Encoder& m) { return m(tensor({{1, 2, 3}})); };
  check_state_round_trip<Encoder>(a, b, run);
  CHECK(test::same_bits(run(made(4)), run(made(4))));
  EncoderConfig noisy = small();
  noisy.dropout = 0.5;
  Encoder c(noisy);
  CHECK_FALSE(test::same_bits(run(c), run(c)));
  c.eval();
  CHECK(test::same_bits(run(c), run(c)));
  CHECK(to_vector(select(a.named_parameters().front().tensor, 0, 0)) == std::vector<double>(8, 0.0));  // the padding token
}

TEST_CASE("encoder: wrong sizes and settings are named") {
  Encoder model = made(6);
  CHECK_THROWS_WITH_AS(model(zeros({3}, i64)), "encoder: takes tokens [B, T], got [3]", ShapeError);
  CHECK_THROWS_WITH_AS(model(zeros({1, 11}, i64)), "encoder: 11 tokens are more than the context of 10", ShapeError);
  CHECK_THROWS_WITH_AS(model(zeros({1, 4}, i64), zeros({1, 3}, boolean)), "encoder: mask is [1, 3], tokens are [1, 4]", ShapeError);
  EncoderConfig config = small();
  config.heads = 3;
  CHECK_THROWS_WITH_AS(Encoder{config}, "encoder: --width 8 is not a multiple of --heads 3", ConfigError);
  CHECK_THROWS_WITH_AS(EncoderConfig::from_json(R"({"layers": 0})"), "encoder: --layers must be at least 1, it is 0", ConfigError);
  CHECK_THROWS_AS(EncoderConfig::from_json(R"({"layers": "many"})"), ConfigError);
  CHECK(EncoderConfig::from_json(small().to_json()).to_json() == small().to_json());
}
