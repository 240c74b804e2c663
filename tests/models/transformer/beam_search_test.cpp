// Beam search against all sequences there are.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "engine/core/generator.h"
#include "models/transformer/beam_search.h"
#include "models/transformer/gpt.h"

using namespace plumb;
using namespace plumb::transformer;

namespace {

constexpr int32_t kVocab = 4, kEnd = 3;

Gpt model() {
  manual_seed(11);
  Gpt gpt({.vocab = kVocab, .layers = 1, .heads = 2, .width = 8, .context = 8});
  for (Tensor p : gpt.parameters()) {  // sharper than at the start of training, so that sequences differ
    float* x = p.data<float>();
    for (int64_t i = 0; i < p.numel(); ++i) x[i] *= 4;
  }
  gpt.eval();
  return gpt;
}

// Every sequence after `prompt` that ends with kEnd or has `longest` tokens, with its log-probability, computed without a cache.
void enumerate(const Gpt& gpt, std::vector<int64_t> seen, Hypothesis h, size_t longest, std::vector<Hypothesis>& all) {
  if (h.tokens.size() == longest || (!h.tokens.empty() && h.tokens.back() == kEnd)) {
    all.push_back(std::move(h));
    return;
  }
  std::vector<double> logits = to_vector(gpt(from_vector(seen, {1, static_cast<int64_t>(seen.size())})));
  double* last = logits.data() + logits.size() - kVocab;
  double total = 0;
  for (int32_t v = 0; v < kVocab; ++v) total += std::exp(last[v]);
  for (int32_t v = 0; v < kVocab; ++v) {
    Hypothesis longer = h;
    longer.tokens.push_back(v);
    longer.log_probability += last[v] - std::log(total);
    auto more = seen;
    more.push_back(v);
    enumerate(gpt, more, longer, longest, all);
  }
}

std::vector<Hypothesis> best_of_all(const Gpt& gpt, size_t longest, double penalty) {
  std::vector<Hypothesis> all;
  enumerate(gpt, {1, 2}, {}, longest, all);
  for (Hypothesis& h : all) h.score = h.log_probability / std::pow(static_cast<double>(h.tokens.size()), penalty);
  std::stable_sort(all.begin(), all.end(), [](const Hypothesis& a, const Hypothesis& b) { return a.score > b.score; });
  return all;
}

}  // namespace

TEST_CASE("beam search: with as many beams as there are sequences it finds the best of all, in order") {
  NoGrad off;
  Gpt gpt = model();
  for (double penalty : {0.0, 1.0, 2.0}) {
    auto expected = best_of_all(gpt, 4, penalty),
         found = beam_search(gpt, {1, 2}, {.beams = 256, .max_tokens = 4, .length_penalty = penalty, .end_token = kEnd});
    REQUIRE(found.size() == std::min<size_t>(256, expected.size()));
    for (size_t i = 0; i < found.size(); ++i) {
      CHECK(found[i].score == doctest::Approx(expected[i].score).epsilon(1e-4));
      CHECK(found[i].log_probability == doctest::Approx(expected[i].log_probability).epsilon(1e-4));
    }
    CHECK(found[0].tokens == expected[0].tokens);
  }
}

TEST_CASE("beam search: one beam is greedy; more beams are no worse; the context bounds the length") {
  NoGrad off;
  Gpt gpt = model();
  auto greedy = beam_search(gpt, {1, 2}, {.beams = 1, .max_tokens = 5});
  REQUIRE(greedy.size() == 1);
  std::vector<int64_t> seen{1, 2};
  for (int32_t token : greedy[0].tokens) {
    std::vector<double> logits = to_vector(gpt(from_vector(seen, {1, static_cast<int64_t>(seen.size())})));
    CHECK(token == std::max_element(logits.end() - kVocab, logits.end()) - (logits.end() - kVocab));
    seen.push_back(token);
  }
  CHECK(beam_search(gpt, {1, 2}, {.beams = 8, .max_tokens = 5})[0].score >= greedy[0].score);
  CHECK(beam_search(gpt, {1, 2}, {.beams = 2, .max_tokens = 50})[0].tokens.size() == 7);  // 2 + 6 fill the context; the last needs no place
}

TEST_CASE("beam search: bad prompts and options are named") {
  Gpt gpt = model();
  CHECK_THROWS_WITH_AS(beam_search(gpt, {}, {}), "beam_search: the prompt has no tokens", ValueError);
  CHECK_THROWS_WITH_AS(beam_search(gpt, std::vector<int32_t>(8, 1), {}), "beam_search: the prompt of 8 tokens fills the context of 8",
                       ValueError);
  CHECK_THROWS_WITH_AS(beam_search(gpt, {1}, {.beams = 0}), "beam_search: beams and max_tokens must be at least 1, they are 0 and 100",
                       ValueError);
}

namespace {

// p(token | the last one), whatever came before: rows of probabilities.
class Chain final : public CausalDecoder {
 public:
  explicit Chain(std::vector<std::vector<double>> rows) : rows_(std::move(rows)) {}
  Tensor next(const Tensor& tokens, KeyValueCache& cache) const override {
    std::vector<double> logits;
    auto all = to_vector<int64_t>(tokens);
    auto length = static_cast<size_t>(tokens.size(1));
    for (size_t last = length - 1; last < all.size(); last += length)
      for (double p : rows_[static_cast<size_t>(all[last])]) logits.push_back(std::log(p));
    cache.length += tokens.size(1);
    return from_vector(logits, {tokens.size(0), static_cast<int64_t>(rows_.size())});
  }
  KeyValueCache make_cache(int64_t batch) const override { return {1, batch, 1, context(), 1}; }
  int64_t context() const override { return 16; }

 private:
  std::vector<std::vector<double>> rows_;
};

}  // namespace

TEST_CASE("beam search: sequences that end leave their places to others of that length") {
  // Of the first tokens the end is likeliest; the second beam is 2, which is worth less than 1 at first and more in the end.
  Chain chain({{0.02, 0.3, 0.18, 0.5}, {0.3, 0.3, 0.3, 0.1}, {0.001, 0.001, 0.001, 0.997}, {0.25, 0.25, 0.25, 0.25}});
  auto found = beam_search(chain, {0}, {.beams = 2, .max_tokens = 3, .length_penalty = 0, .end_token = kEnd});
  REQUIRE(found.size() == 2);
  CHECK(found[0].tokens == std::vector<int32_t>{kEnd});
  CHECK(found[1].tokens == std::vector<int32_t>{2, kEnd});
  CHECK(found[1].score == doctest::Approx(std::log(0.18 * 0.997)));
}

TEST_CASE("beam search: an end counts only if it is among the beams; one beam is greedy there too") {
  Chain chain({{0.05, 0.6, 0.05, 0.3}, {0.05, 0.4, 0.3, 0.25}, {0.25, 0.25, 0.25, 0.25}, {0.25, 0.25, 0.25, 0.25}});
  auto found = beam_search(chain, {0}, {.beams = 1, .max_tokens = 2, .length_penalty = 0, .end_token = kEnd});
  REQUIRE(found.size() == 1);
  CHECK(found[0].tokens == std::vector<int32_t>{1, 1});
}

TEST_CASE("beam search: with a length penalty it goes on while a longer sequence can still win") {
  // The end after one token has log 0.5; 1 1 1 has log(0.45 · 0.95²) / 3, which is more, though log 0.45 is less.
  Chain chain({{0.03, 0.45, 0.02, 0.5}, {0.02, 0.95, 0.02, 0.01}, {0.25, 0.25, 0.25, 0.25}, {0.25, 0.25, 0.25, 0.25}});
  auto found = beam_search(chain, {0}, {.beams = 1, .max_tokens = 3, .end_token = kEnd});
  REQUIRE(found.size() == 1);
  CHECK(found[0].tokens == std::vector<int32_t>{1, 1, 1});
  CHECK(found[0].score == doctest::Approx(std::log(0.45 * 0.95 * 0.95) / 3));
}
