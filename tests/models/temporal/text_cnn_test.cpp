// The convolution network for sentences: against plain loops, padding, derivatives, learning.
#include "models/temporal/text_cnn.h"

#include <doctest/doctest.h>

#include <cmath>

#include "models/optim/adam.h"
#include "ops/loss.h"
#include "tests/models/module_gradients.h"
#include "tests/models/reference.h"

using namespace plumb;
using namespace plumb::temporal;
using namespace plumb_test;

namespace {

TextCnnConfig small() { return {.vocab = 7, .embedding = 3, .widths = {2, 4}, .filters = 5, .dropout = 0, .classes = 2}; }

TextCnn made(uint64_t seed, const TextCnnConfig& config = small()) {
  manual_seed(seed);
  TextCnn model(config);
  model.to(f64);
  return model;
}

// fc over the strongest answers to one sentence, windows reaching over both ends.
std::vector<double> answer(const StateDict& s, const std::vector<int64_t>& words) {
  std::vector<double> features;
  int64_t count = static_cast<int64_t>(words.size());
  for (const char* name : {"convs.0", "convs.1"}) {
    const Tensor& w = s.at(std::string(name) + ".weight");
    int64_t width = w.size(2);
    for (int64_t o = 0; o < 5; ++o) {
      double best = 0;
      for (int64_t first = 1 - width; first < count; ++first) {
        double sum = s.at(std::string(name) + ".bias").data<double>()[o];
        for (int64_t k = 0; k < width; ++k)
          for (int64_t d = 0; d < 3 && first + k >= 0 && first + k < count; ++d)
            sum += w.data<double>()[(o * 3 + d) * width + k] *
                   s.at("embedding.weight").data<double>()[words[static_cast<size_t>(first + k)] * 3 + d];
        best = std::max(best, sum);
      }
      features.push_back(best);
    }
  }
  std::vector<double> logits;
  for (size_t c = 0; c < 2; ++c) {
    logits.push_back(s.at("fc.bias").data<double>()[c]);
    for (size_t i = 0; i < features.size(); ++i) logits[c] += s.at("fc.weight").data<double>()[c * features.size() + i] * features[i];
  }
  return logits;
}

}  // namespace

TEST_CASE("text cnn: agrees with plain loops, for sentences shorter than a window too, however they are padded") {
  TextCnn model = made(1);
  std::vector<std::vector<int64_t>> sentences{{3, 1, 4, 1, 5, 2}, {6, 2}, {5}};
  std::vector<int64_t> tokens;
  for (auto s : sentences) {
    s.resize(9);
    tokens.insert(tokens.end(), s.begin(), s.end());
  }
  auto got = to_vector(model(from_vector(tokens, {3, 9})));
  for (size_t b = 0; b < 3; ++b) {
    std::vector<double> expected = answer(model.state(), sentences[b]);
    for (size_t c = 0; c < 2; ++c) CHECK(got[b * 2 + c] == doctest::Approx(expected[c]).epsilon(1e-12));
  }
  CHECK(largest(model.features(from_vector(std::vector<int64_t>(4), {1, 4}))) == 0);
}

TEST_CASE("text cnn: derivatives agree with differences") {
  TextCnn model = made(2);
  Tensor tokens = tensor({{3, 1, 4, 0}, {6, 2, 5, 1}});
  check_module_gradients(
      model, {}, [&] { return model(tokens); }, 5);
}

TEST_CASE("text cnn: learns a phrase wherever it stands") {
  manual_seed(3);
  TextCnn model({.vocab = 10, .embedding = 8, .widths = {2, 3}, .filters = 8, .dropout = 0.1, .classes = 2});
  std::vector<int64_t> tokens, labels;
  Generator g(4);
  for (int64_t i = 0; i < 40; ++i) {  // "1 2" says yes, "2 1" no
    size_t at = tokens.size() + g.next_below(7);
    for (int t = 0; t < 8; ++t) tokens.push_back(3 + static_cast<int64_t>(g.next_below(7)));
    tokens[at] = 1 + i % 2, tokens[at + 1] = 2 - i % 2;
    labels.push_back(i % 2);
  }
  Tensor x = from_vector(tokens, {40, 8}), y = from_vector(labels);
  optim::AdamW adamw(model.parameters(), {.lr = 2e-2});
  for (int step = 0; step < 60; ++step) {
    adamw.zero_grad();
    cross_entropy(model(x), y).backward();
    adamw.step();
    model.limit_norms();
  }
  model.eval();
  CHECK(to_vector<int64_t>(argmax(model(x), 1)) == labels);
}

TEST_CASE("text cnn: rows of the last layer are held to a length") {
  TextCnn model = made(5);
  Tensor weight = model.state().at("fc.weight"), row = select(weight, 0, 1);
  std::vector<double> before = to_vector(select(weight, 0, 0));
  copy_data(full({10}, 2.0, f64), row);  // of length √40
  model.limit_norms(3);
  CHECK(norm(row).item() == doctest::Approx(3));
  CHECK(to_vector(select(weight, 0, 0)) == before);
}

TEST_CASE("text cnn: state and settings survive; what does not fit is named") {
  TextCnn a = made(1), b = made(2);
  Tensor tokens = tensor({{3, 1, 4}});
  check_state_round_trip<TextCnn>(a, b, [&](const TextCnn& m) { return m(tokens); });
  TextCnn copy = a;
  CHECK(test::same_bits(copy(tokens), a(tokens)));
  CHECK(TextCnnConfig::from_json(small().to_json()).to_json() == small().to_json());
  CHECK_THROWS_WITH_AS(TextCnn({.widths = {}}), "text_cnn: needs at least one width", ConfigError);
  CHECK_THROWS_WITH_AS(TextCnn({.widths = {3, 0}}), "text_cnn: widths must be at least 1, it is 0", ConfigError);
  CHECK_THROWS_WITH_AS(TextCnn({.vocab = 3, .padding = 3}), "text_cnn: padding 3 is not one of 3 tokens", ConfigError);
  CHECK_THROWS_WITH_AS(a(zeros({2, 0}, i64)), "text_cnn: takes tokens [B, T] of at least one token, got [2, 0]", ShapeError);
}
