// Drawing tokens, and generation with a key/value cache.
#include <doctest/doctest.h>

#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "models/transformer/generate.h"
#include "models/transformer/gpt.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;
using namespace plumb::transformer;

namespace {

std::vector<int> counts(const std::vector<double>& logits, const SamplingOptions& options, int draws) {
  Generator generator(1);
  std::vector<int> n(logits.size());
  for (int i = 0; i < draws; ++i) ++n[static_cast<size_t>(sample_token(logits, options, generator))];
  return n;
}

GptConfig small() { return {.vocab = 11, .layers = 2, .heads = 2, .width = 8, .context = 12}; }

}  // namespace

TEST_CASE("sample_token: draws follow softmax(logits / temperature)") {
  std::vector<double> logits{std::log(1.0), std::log(2.0), std::log(5.0)};
  auto n = counts(logits, {}, 8000);
  CHECK(std::abs(n[0] - 1000) < 120);  // four standard deviations
  CHECK(std::abs(n[1] - 2000) < 160);
  auto sharper = counts(logits, {.temperature = 0.5}, 8000);  // 1 : 4 : 25
  CHECK(std::abs(sharper[2] - 6667) < 135);
}

TEST_CASE("sample_token: top-k, top-p and temperature 0 leave only the likeliest") {
  std::vector<double> logits{std::log(0.5), std::log(0.3), std::log(0.15), std::log(0.05)};
  auto two = counts(logits, {.top_k = 2}, 1000);
  CHECK(two[0] + two[1] == 1000);
  CHECK(two[1] > 300);
  auto most = counts(logits, {.top_p = 0.7}, 1000);  // 0.5 alone falls short of 0.7
  CHECK(most[0] + most[1] == 1000);
  CHECK(most[1] > 300);
  CHECK(counts(logits, {.temperature = 0}, 50)[0] == 50);
  CHECK(counts(logits, {.top_p = 0.5}, 50)[0] == 50);
}

TEST_CASE("sampling: options out of range are named") {
  CHECK_THROWS_WITH_AS(SamplingOptions{.temperature = -1}.check(), "--temperature must not be negative, it is -1", ValueError);
  CHECK_THROWS_WITH_AS(SamplingOptions{.top_k = -2}.check(), "--top-k must not be negative, it is -2", ValueError);
  CHECK_THROWS_WITH_AS(SamplingOptions{.top_p = 0}.check(), "--top-p must lie in (0, 1], it is 0", ValueError);
}

TEST_CASE("gpt: a token at a time with a cache gives the logits of the whole sequence") {
  manual_seed(3);
  Gpt model(small());
  model.eval();
  NoGrad off;
  Tensor tokens = tensor({{1, 5, 2, 7, 7, 0, 10, 3}});
  std::vector<double> whole = to_vector(model(tokens));
  KeyValueCache cache = model.make_cache();
  std::vector<double> last = to_vector(model.next(slice(tokens, 1, 0, 3), cache));
  for (int64_t t = 2; t < 8; ++t) {
    if (t > 2) last = to_vector(model.next(slice(tokens, 1, t, t + 1), cache));
    for (size_t v = 0; v < 11; ++v) CHECK(last[v] == doctest::Approx(whole[static_cast<size_t>(t) * 11 + v]).epsilon(1e-4));
  }
  CHECK(cache.length == 8);
}

TEST_CASE("generate: goes on beyond the context, and a seed gives one text") {
  manual_seed(3);
  Gpt model(small());
  model.eval();
  auto text = [&] {
    Generator generator(7);
    std::vector<int32_t> out;
    generate(model, {1, 2}, 40, {}, generator, [&](int32_t t) { out.push_back(t); });
    return out;
  };
  auto first = text();
  CHECK(first.size() == 40);
  CHECK(first == text());
  Generator generator(0);
  CHECK_THROWS_AS(generate(model, {}, 1, {}, generator, [](int32_t) {}), ValueError);
}

TEST_CASE("generate: behind a learned prompt, the likeliest tokens are those of the whole sequence, also when the context is used up") {
  manual_seed(4);
  Gpt model(small());
  nn::SoftPrompt prompt(5, 8);
  prompt.weight = (prompt.weight * 40.0).detach();
  model.eval();
  NoGrad off;
  PromptedGpt prompted(model, prompt);
  CHECK(prompted.context() == 7);
  std::vector<int32_t> seen{1, 2}, written, plain;
  Generator generator(7);
  generate(prompted, seen, 20, {.temperature = 0}, generator, [&](int32_t t) { written.push_back(t); });
  generate(model, seen, 20, {.temperature = 0}, generator, [&](int32_t t) { plain.push_back(t); });
  CHECK(written != plain);
  int64_t held = 2;  // of `seen`, the last so many stand behind the prompt; a full context goes on from its half
  for (int32_t t : written) {
    if (held > 7) held = 3;
    std::vector<int64_t> last(seen.end() - held, seen.end());
    Tensor logits = select(model(from_vector(last, {1, held}), prompt), 1, -1);
    CHECK(t == argmax(logits).item<int64_t>());
    seen.push_back(t);
    ++held;
  }
  CHECK_THROWS_WITH_AS(PromptedGpt(model, nn::SoftPrompt(12, 8)), "gpt: a prompt of 12 leaves no room in the context of 12", ValueError);
}

TEST_CASE("gpt: configurations that make no model, and sequences that are too long, are refused") {
  CHECK_THROWS_WITH_AS(Gpt({.heads = 3, .width = 8}), "--width 8 is not a multiple of --heads 3", ConfigError);
  CHECK_THROWS_WITH_AS(Gpt({.layers = 0}), "--layers must be at least 1, it is 0", ConfigError);
  Gpt model(small());
  CHECK_THROWS_WITH_AS(model(zeros({1, 13}, i64)), "gpt: 13 tokens are more than the context of 12", ShapeError);
}

TEST_CASE("gpt: the configuration survives JSON, and tied weights are one tensor") {
  GptConfig config{.vocab = 7, .layers = 1, .heads = 2, .width = 8, .context = 4, .dropout = 0.25, .bias = true, .tied = false};
  GptConfig back = GptConfig::from_json(config.to_json());
  CHECK(back.to_json() == config.to_json());
  CHECK_THROWS_AS(GptConfig::from_json(R"({"width": "wide"})"), ConfigError);
  Gpt tied({.vocab = 7, .layers = 1, .heads = 2, .width = 8, .context = 4});
  // embeddings 7·8 and 4·8, one block of 12·8² + 2·8, a norm of 8; no head of its own
  CHECK(tied.num_parameters() == 56 + 32 + 768 + 16 + 8);
}

TEST_CASE("sample_token: every draw takes one number, the greedy one too") {
  Generator plain(3), drawn(3);
  std::vector<double> logits{0.0, 1.0, 2.0};
  for (double temperature : {0.0, 1.0, 0.0}) {
    sample_token(logits, {.temperature = temperature}, drawn);
    plain.next_double();
    CHECK(drawn.offset() == plain.offset());
  }
  CHECK(drawn.next_double() == plain.next_double());
}
