// Masked-token pretraining: the shares of what becomes of tokens, the head by plain loops, learning.
#include "models/transformer/masked_tokens.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/io/safetensors.h"
#include "models/optim/adam.h"
#include "models/transformer/pretrained.h"
#include "tests/models/module_gradients.h"
#include "tests/models/reference.h"
#include "tests/scratch.h"

using namespace plumb;
using namespace plumb::transformer;
using namespace plumb_test;

namespace {

EncoderConfig small() {
  return {.vocab = 9,
          .layers = 1,
          .heads = 2,
          .width = 8,
          .inner = 12,
          .context = 6,
          .token_types = 1,
          .dropout = 0,
          .attention_dropout = 0,
          .pooler = false};
}

MaskedLanguageModel made(uint64_t seed) {
  manual_seed(seed);
  MaskedLanguageModel model(small());
  model.to(f64);
  for (auto& [name, p] : model.named_parameters())
    if (name.starts_with("cls.")) {
      Tensor parameter = p.detach();
      copy_data(test::sample(p.shape(), seed + 5, f64, -0.5, 0.5), parameter);
    }
  return model;
}

}  // namespace

TEST_CASE("masked tokens: 15 % are asked for; of those 80 % are hidden, 10 % changed, 10 % kept; special ones stay") {
  constexpr int64_t kTokens = 40000;
  std::vector<int64_t> v;
  Generator draw(1);
  for (int64_t i = 0; i < kTokens; ++i) v.push_back(i % 5 == 0 ? 0 : 2 + static_cast<int64_t>(draw.next_below(98)));
  Generator g(2);
  MaskedTokens m = mask_tokens(from_vector(v, {kTokens / 8, 8}), {.mask_token = 1, .vocab = 100, .special = {0}}, g);
  CHECK(m.tokens.shape() == Shape{kTokens / 8, 8});
  std::vector<int64_t> seen = to_vector<int64_t>(m.tokens), target = to_vector<int64_t>(m.target);
  double asked = 0, hidden = 0, changed = 0;
  std::vector<int64_t> drawn(100);
  for (size_t i = 0; i < v.size(); ++i) {
    if (target[i] == -100) {
      CHECK(seen[i] == v[i]);
      continue;
    }
    REQUIRE(target[i] == v[i]);
    REQUIRE(v[i] != 0);
    ++asked;
    if (seen[i] == 1)
      ++hidden;
    else if (seen[i] != v[i])
      ++changed, ++drawn[static_cast<size_t>(seen[i])];
  }
  double ordinary = kTokens * 0.8;
  CHECK(std::abs(asked / ordinary - 0.15) < 5 * std::sqrt(0.15 * 0.85 / ordinary));
  CHECK(std::abs(hidden / asked - 0.8) < 5 * std::sqrt(0.8 * 0.2 / asked));
  CHECK(std::abs(changed / asked - 0.1 * 97 / 98) < 5 * std::sqrt(0.1 * 0.9 / asked));  // one of 98 is drawn as itself
  CHECK(drawn[0] + drawn[1] == 0);
  CHECK(drawn[2] > 0);
  CHECK(drawn[99] > 0);
  Generator again(2);
  CHECK(to_vector<int64_t>(mask_tokens(from_vector(v, {kTokens / 8, 8}), {.mask_token = 1, .vocab = 100, .special = {0}}, again).tokens) ==
        seen);
}

TEST_CASE("masked tokens: the head is norm(gelu(dense)) against the embeddings, by plain loops") {
  MaskedLanguageModel model = made(1);
  StateDict s = model.state();
  Tensor tokens = tensor({{3, 1, 4, 5}}), hidden = model.encoder(tokens), logits = model(tokens);
  auto h = to_vector(hidden);
  auto at = [&](const std::string& name) { return s.at("cls.predictions." + name).data<double>(); };
  for (size_t t = 0; t < 4; ++t) {
    std::vector<double> y(8);
    double mean = 0, variance = 0;
    for (size_t o = 0; o < 8; ++o) {
      y[o] = at("transform.dense.bias")[o];
      for (size_t i = 0; i < 8; ++i) y[o] += at("transform.dense.weight")[o * 8 + i] * h[t * 8 + i];
      y[o] = 0.5 * y[o] * (1 + std::erf(y[o] / std::sqrt(2.0)));
      mean += y[o] / 8;
    }
    for (double v : y) variance += (v - mean) * (v - mean) / 8;
    for (size_t k = 0; k < 9; ++k) {
      double sum = at("bias")[k];
      for (size_t o = 0; o < 8; ++o)
        sum += ((y[o] - mean) / std::sqrt(variance + 1e-12) * at("transform.LayerNorm.weight")[o] + at("transform.LayerNorm.bias")[o]) *
               s.at("encoder.token_embedding.weight").data<double>()[k * 8 + o];
      CHECK(to_vector(logits)[t * 9 + k] == doctest::Approx(sum).epsilon(1e-10));
    }
  }
  // The loss is the cross-entropy of the tokens that are asked for.
  MaskedTokens masked{tokens, tensor({{-100, 7, -100, 2}})};
  double expected = 0;
  for (auto [t, k] : {std::pair<size_t, size_t>{1, 7}, {3, 2}}) {
    double total = 0;
    for (size_t j = 0; j < 9; ++j) total += std::exp(to_vector(logits)[t * 9 + j]);
    expected += (std::log(total) - to_vector(logits)[t * 9 + k]) / 2;
  }
  CHECK(model.loss(masked).item() == doctest::Approx(expected).epsilon(1e-10));
  CHECK(model.loss({tokens, full({1, 4}, -100, i64)}).item() == 0);
}

TEST_CASE("masked tokens: derivatives agree with differences, the shared embeddings' too") {
  MaskedLanguageModel model = made(2);
  MaskedTokens masked{tensor({{3, 1, 4, 5}, {2, 2, 8, 1}}), tensor({{-100, 7, -100, 2}, {3, -100, -100, 8}})};
  check_module_gradients(
      model, {}, [&] { return model.loss(masked); }, 3);
}

TEST_CASE("masked tokens: learns to fill in what stands beside its neighbours") {
  manual_seed(3);
  MaskedLanguageModel model({.vocab = 12,
                             .layers = 1,
                             .heads = 2,
                             .width = 32,
                             .inner = 64,
                             .context = 8,
                             .token_types = 1,
                             .dropout = 0,
                             .attention_dropout = 0,
                             .norm_eps = 1e-5,
                             .pooler = false});
  optim::AdamW adamw(model.parameters(), {.lr = 3e-3});
  Generator g(4);
  auto text = [&] {  // counting upwards around a circle of ten
    std::vector<int64_t> v;
    for (int row = 0; row < 16; ++row) {
      auto first = static_cast<int64_t>(g.next_below(10));
      for (int64_t t = 0; t < 8; ++t) v.push_back(2 + (first + t) % 10);
    }
    return mask_tokens(from_vector(v, {16, 8}), {.mask_token = 1, .vocab = 12, .special = {0}}, g);
  };
  double first = 0, last = 0;
  for (int step = 0; step < 400; ++step) {
    Tensor loss = model.loss(text());
    if (step < 5) first += loss.item() / 5;
    if (step >= 390) last += loss.item() / 10;
    adamw.zero_grad();
    loss.backward();
    adamw.step();
  }
  CHECK(first > 2);  // log 12 = 2.48
  CHECK(last < 0.5);
}

TEST_CASE("masked tokens: saved and loaded under the names of BertForMaskedLM, which hold the plain encoder too") {
  MaskedLanguageModel model = made(4);
  model.to(f32);
  model.eval();
  Scratch scratch;
  std::string directory = scratch.path("mlm"), file = directory + "/model.safetensors";
  save_pretrained(model, directory);
  StateDict written = load_safetensors(file);
  for (const char* name : {"bert.embeddings.word_embeddings.weight", "bert.encoder.layer.0.attention.self.query.bias",
                           "cls.predictions.bias", "cls.predictions.transform.dense.weight", "cls.predictions.transform.LayerNorm.bias"})
    CHECK_MESSAGE(written.contains(name), name);
  CHECK(scratch.get("mlm/config.json").find("BertForMaskedLM") != std::string::npos);
  Tensor tokens = tensor({{3, 1, 4}});
  CHECK(test::same_bits(load_pretrained<MaskedLanguageModel>(directory)(tokens), model(tokens)));
  CHECK(test::same_bits(load_pretrained<Encoder>(directory)(tokens), model.encoder(tokens)));

  StateDict more = written;  // as the library also stores them: the shared matrix again, and another head
  more["cls.predictions.decoder.weight"] = clone(written.at("bert.embeddings.word_embeddings.weight"));
  more["cls.seq_relationship.bias"] = zeros({2});
  save_safetensors(file, more);
  CHECK(test::same_bits(load_pretrained<MaskedLanguageModel>(directory)(tokens), model(tokens)));
  more["cls.predictions.decoder.weight"] = zeros({9, 8});
  save_safetensors(file, more);
  CHECK_THROWS_WITH_AS(load_pretrained<MaskedLanguageModel>(directory),
                       doctest::Contains("has a \"cls.predictions.decoder.weight\" that is not its embeddings"), IoError);
  written.erase("cls.predictions.bias");
  save_safetensors(file, written);
  CHECK_THROWS_WITH_AS(load_pretrained<MaskedLanguageModel>(directory), doctest::Contains("lacks the tensor \"cls.predictions.bias\""),
                       IoError);
}

TEST_CASE("masked tokens: state survives; what does not fit is named") {
  MaskedLanguageModel a = made(1), b = made(2);
  Tensor tokens = tensor({{3, 1, 4}});
  check_state_round_trip<MaskedLanguageModel>(a, b, [&](const MaskedLanguageModel& m) { return m(tokens); });
  MaskedLanguageModel copy = a;
  CHECK(test::same_bits(copy(tokens), a(tokens)));
  Generator g(1);
  CHECK_THROWS_WITH_AS(mask_tokens(tokens, {.mask_token = 1, .vocab = 4}, g), "mask_tokens: token 4 is outside [0, 4)", IndexError);
  CHECK_THROWS_WITH_AS(mask_tokens(tokens, {.mask_token = 1, .vocab = 9, .masked = 0.8, .random = 0.3}, g),
                       "mask_tokens: share 0.15, masked 0.8 and random 0.3 must lie in [0, 1], the last two together too",
                       ValueError);
  CHECK_THROWS_WITH_AS(mask_tokens(tokens, {.mask_token = 1, .vocab = 2, .special = {0}}, g),
                       "mask_tokens: of 2 tokens none can be drawn at random", ValueError);
}
