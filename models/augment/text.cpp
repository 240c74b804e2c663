// Changes to sentences.
#include "models/augment/text.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "engine/core/error.h"

namespace plumb::augment {
namespace {

void check_rate(const char* name, double rate) {
  if (!(rate >= 0 && rate <= 1)) throw ValueError(std::string(name) + ": the rate must lie in [0, 1], it is " + decimal(rate));
}

size_t below(size_t n, Generator& g) { return static_cast<size_t>(g.next_below(static_cast<uint64_t>(n))); }

// C(w) of every position: idf(w) times the word's share of the sentence.
std::vector<double> weights_in(const Sentence& sentence, const std::vector<double>& idf) {
  std::vector<int64_t> count(idf.size());
  for (int64_t w : sentence) ++count[static_cast<size_t>(w)];
  std::vector<double> out;
  for (int64_t w : sentence)
    out.push_back(idf[static_cast<size_t>(w)] * static_cast<double>(count[static_cast<size_t>(w)]) / static_cast<double>(sentence.size()));
  return out;
}

void check_words(const Sentence& sentence, size_t vocabulary) {
  for (int64_t w : sentence)
    if (w < 0 || w >= static_cast<int64_t>(vocabulary))
      throw IndexError("tf_idf: word " + std::to_string(w) + " is outside [0, " + std::to_string(vocabulary) + ")");
}

}  // namespace

TfIdfReplacer::TfIdfReplacer(const std::vector<Sentence>& sentences, int64_t vocabulary) {
  if (vocabulary < 1) throw ValueError("tf_idf: a vocabulary of " + std::to_string(vocabulary));
  if (sentences.empty()) throw ValueError("tf_idf: there are no sentences");
  idf_.resize(static_cast<size_t>(vocabulary));
  for (const Sentence& s : sentences) {
    check_words(s, idf_.size());
    Sentence words = s;
    std::ranges::sort(words);
    words.erase(std::unique(words.begin(), words.end()), words.end());
    for (int64_t w : words) ++idf_[static_cast<size_t>(w)];
  }
  std::vector<bool> occurs;
  for (double& v : idf_) {
    occurs.push_back(v > 0);
    v = v > 0 ? std::log(static_cast<double>(sentences.size()) / v) : 0;
  }
  std::vector<double> score(idf_.size());
  for (const Sentence& s : sentences) {
    auto weight = weights_in(s, idf_);
    for (size_t i = 0; i < s.size(); ++i) {
      bool first = std::find(s.begin(), s.begin() + static_cast<int64_t>(i), s[i]) == s.begin() + static_cast<int64_t>(i);
      if (first) score[static_cast<size_t>(s[i])] += weight[i];
    }
  }
  double most = *std::ranges::max_element(score), total = 0;
  for (size_t w = 0; w < score.size(); ++w) law_.push_back(occurs[w] ? most - score[w] : 0), total += law_.back();
  if (total <= 0) {
    for (size_t w = 0; w < law_.size(); ++w) law_[w] = occurs[w] ? 1 : 0;
    total = std::accumulate(law_.begin(), law_.end(), 0.0);
  }
  for (double& v : law_) v /= total;
  cumulative_.resize(law_.size());
  std::partial_sum(law_.begin(), law_.end(), cumulative_.begin());
}

std::vector<double> TfIdfReplacer::replace_probabilities(const Sentence& sentence, double rate) const {
  check_rate("tf_idf", rate);
  check_words(sentence, idf_.size());
  auto p = weights_in(sentence, idf_);
  if (p.empty()) return p;
  double most = *std::ranges::max_element(p), total = 0;
  for (double& v : p) total += v = most - v;
  for (double& v : p) v = total > 1e-12 ? std::min(1.0, rate * static_cast<double>(p.size()) * v / total) : 0;
  return p;
}

Sentence TfIdfReplacer::operator()(const Sentence& sentence, double rate, Generator& generator) const {
  auto p = replace_probabilities(sentence, rate);
  Sentence out = sentence;
  for (size_t i = 0; i < out.size(); ++i) {
    bool replaced = generator.next_double() < p[i];
    double unit = generator.next_double() * cumulative_.back();
    if (replaced) out[i] = std::ranges::upper_bound(cumulative_, unit) - cumulative_.begin();
  }
  return out;
}

Sentence replace_words(const Sentence& sentence, double rate, int64_t vocabulary, Generator& generator) {
  check_rate("replace_words", rate);
  if (vocabulary < 1) throw ValueError("replace_words: a vocabulary of " + std::to_string(vocabulary));
  Sentence out = sentence;
  if (out.size() < 3) return out;
  for (int64_t& w : out)
    if (generator.next_double() < rate) w = static_cast<int64_t>(below(static_cast<size_t>(vocabulary), generator));
  return out;
}

Sentence drop_words(const Sentence& sentence, double rate, Generator& generator) {
  check_rate("drop_words", rate);
  Sentence out;
  for (int64_t w : sentence)
    if (generator.next_double() >= rate) out.push_back(w);
  if (out.empty() && !sentence.empty()) out.push_back(sentence[below(sentence.size(), generator)]);
  return out;
}

Sentence swap_words(const Sentence& sentence, int64_t swaps, Generator& generator) {
  if (swaps < 0) throw ValueError("swap_words: " + std::to_string(swaps) + " swaps");
  Sentence out = sentence;
  for (int64_t k = 0; k < swaps && !out.empty(); ++k) {
    size_t a = below(out.size(), generator), b = below(out.size(), generator);
    std::swap(out[a], out[b]);
  }
  return out;
}

Sentence mask_words(const Sentence& sentence, double rate, int64_t mask, Generator& generator) {
  check_rate("mask_words", rate);
  Sentence out = sentence;
  for (int64_t& w : out)
    if (generator.next_double() < rate) w = mask;
  return out;
}

Sentence crop_words(const Sentence& sentence, double share, Generator& generator) {
  if (!(share > 0 && share <= 1)) throw ValueError("crop_words: the share must lie in (0, 1], it is " + decimal(share));
  auto kept = static_cast<size_t>(std::ceil(share * static_cast<double>(sentence.size())));
  size_t from = below(sentence.size() - kept + 1, generator);
  return {sentence.begin() + static_cast<int64_t>(from), sentence.begin() + static_cast<int64_t>(from + kept)};
}

}  // namespace plumb::augment
