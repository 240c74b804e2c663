// The encoder–decoder transformer against torch.nn.Transformer (tests/reference/make.py) and on its own terms.
#include <doctest/doctest.h>

#include "engine/autograd/grad_mode.h"
#include "engine/core/generator.h"
#include "models/optim/adam.h"
#include "models/transformer/translator.h"
#include "ops/loss.h"
#include "ops/shape.h"
#include "tests/models/module_gradients.h"
#include "tests/models/reference.h"

using namespace plumb;
using namespace plumb::transformer;
using namespace plumb_test;

namespace {

TranslatorConfig small() {
  return {.source_vocab = 17,
          .target_vocab = 17,
          .encoder_layers = 2,
          .decoder_layers = 1,
          .heads = 3,
          .width = 12,
          .inner = 20,
          .context = 10,
          .dropout = 0};
}

Translator made(uint64_t seed, DType dtype = f32) {
  manual_seed(seed);
  Translator model(small());
  model.to(dtype);
  return model;
}

}  // namespace

TEST_CASE("translator: logits are those of torch.nn.Transformer, padding included") {
  Translator model = made(1);
  model.load_state(reference("translator", "model"));
  StateDict expected = reference("translator");
  CHECK(largest_difference(model(expected["source"], expected["target"]), expected["logits"]) < rounding(expected["logits"]));
}

TEST_CASE("translator: derivatives of a block and of the whole match differences") {
  Translator model = made(2, f64);
  Tensor source = tensor({{3, 4, 5, 0}, {6, 7, 0, 0}}), target = tensor({{1, 8, 9}, {1, 3, 2}});
  check_module_gradients(model, {}, [&] { return model(source, target); }, 3);
  TranslatorBlock block(small());
  block.to(f64);
  Tensor x = test::sample({2, 3, 12}, 3), context = test::sample({2, 4, 12}, 4),
         mask = tensor({{{{true, true, true, false}}}, {{{true, true, false, false}}}});
  check_module_gradients(block, {x, context}, [&] { return block(x, block.cross.project(context), mask); }, 4);
}

TEST_CASE("translator: decoding step by step with a cache gives the logits of the whole, for several rows at once") {
  Translator model = made(3);
  model.eval();
  NoGrad off;
  Tensor source = tensor({{3, 4, 5, 6}}), target = tensor({{1, 8, 9, 4}}), whole = model(source, target);
  TranslatorDecoding decoding(model, source);
  KeyValueCache cache = decoding.make_cache(2);
  for (int64_t t = 0; t < 4; ++t) {
    Tensor logits = decoding.next(expand(slice(target, 1, t, t + 1), {2, 1}), cache);
    for (int64_t row : {0, 1}) CHECK(test::difference(select(logits, 0, row), select(select(whole, 0, 0), 0, t)) < 1e-5);
  }
}

TEST_CASE("translator: learns to turn short sequences round, and translates them") {
  manual_seed(5);
  TranslatorConfig config = small();
  config.width = 24;
  Translator model(config);
  optim::Adam adam(model.parameters(), {.lr = 4e-3});
  Generator generator(1);
  auto batch = [&](int64_t n) {
    std::vector<int64_t> source, input, output;
    for (int64_t i = 0; i < n; ++i) {
      int64_t a = 3 + static_cast<int64_t>(generator.next_double() * 6), b = 3 + static_cast<int64_t>(generator.next_double() * 6),
              c = 3 + static_cast<int64_t>(generator.next_double() * 6);
      source.insert(source.end(), {a, b, c});
      input.insert(input.end(), {1, c, b, a});
      output.insert(output.end(), {c, b, a, 2});
    }
    return std::array{from_vector(source, {n, 3}), from_vector(input, {n, 4}), from_vector(output, {n, 4})};
  };
  for (int step = 0; step < 250; ++step) {
    auto [source, input, output] = batch(32);
    adam.zero_grad();
    cross_entropy(flatten(model(source, input), 0, 1), flatten(output)).backward();
    adam.step();
  }
  model.eval();
  int right = 0;
  auto [source, input, output] = batch(20);
  for (int64_t i = 0; i < 20; ++i) {
    auto found = model.translate(to_vector<int32_t>(select(source, 0, i)), {.beams = 3, .max_tokens = 8});
    right += found.front().tokens == to_vector<int32_t>(select(output, 0, i));
  }
  CHECK(right >= 18);
}

TEST_CASE("translator: a state loads into another; a seed gives one model; settings and sizes are checked") {
  Translator a = made(6), b = made(7);
  auto run = [](const Translator& m) { return m(tensor({{3, 4}}), tensor({{1, 5}})); };
  check_state_round_trip<Translator>(a, b, run);
  CHECK(test::same_bits(run(made(6)), run(made(6))));
  CHECK(TranslatorConfig::from_json(small().to_json()).to_json() == small().to_json());
  TranslatorConfig config = small();
  config.end = 17;
  CHECK_THROWS_WITH_AS(Translator{config}, "translator: end must be a token of the target, it is 17", ConfigError);
  CHECK_THROWS_WITH_AS(a(zeros({1, 11}, i64), zeros({1, 2}, i64)), "translator: 11 tokens are more than the context of 10", ShapeError);
  CHECK_THROWS_WITH_AS(a(zeros({2, 3}, i64), zeros({1, 2}, i64)),
                       "translator: source [2, 3] and target [1, 2] are batches of different sizes", ShapeError);
  CHECK_THROWS_WITH_AS(a.translate({}), "translator: the source has no tokens", ValueError);
}
