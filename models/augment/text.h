// Changes to sentences of word numbers that keep most of their meaning: words replaced, dropped, swapped, masked.
#pragma once
#include <cstdint>
#include <vector>

#include "engine/core/generator.h"

namespace plumb::augment {

/// Words by number, in [0, vocabulary).
using Sentence = std::vector<int64_t>;

/// Replaces words that say little and keeps keywords, by TF-IDF (Xie et al., NeurIPS 2020, appendix B). With idf(w) = log(N / df(w)) over N
/// sentences and C(w) = Σ_occurrences idf(w) / n inside one of length n:
///   position i is replaced with probability min(1, ρ n (C_max − C(w_i)) / Σ_j (C_max − C(w_j))),   0 where all C are equal;
///   the new word is drawn in proportion to max_w' S(w') − S(w),  S(w) = Σ_sentences C(w).
class TfIdfReplacer {
 public:
  /// Throws ValueError for no sentences or a vocabulary < 1, IndexError for a word outside it.
  TfIdfReplacer(const std::vector<Sentence>& sentences, int64_t vocabulary);
  /// One number a position. Throws ValueError unless 0 ≤ ρ ≤ 1, IndexError for an unknown word; so does operator().
  std::vector<double> replace_probabilities(const Sentence& sentence, double rate) const;
  Sentence operator()(const Sentence& sentence, double rate, Generator& generator) const;
  /// idf of each word; 0 for words that no sentence has.
  const std::vector<double>& idf() const { return idf_; }
  /// What a new word is drawn from: sums to 1 (uniform over the words there are if all S are equal).
  const std::vector<double>& sampling_law() const { return law_; }

 private:
  std::vector<double> idf_, law_, cumulative_;
};

/// Each word of a sentence of at least three is replaced, with probability `rate`, by a uniform one of [0, vocabulary): the baseline
/// of the ablation. Throws ValueError unless 0 ≤ rate ≤ 1; so do the others.
Sentence replace_words(const Sentence& sentence, double rate, int64_t vocabulary, Generator& generator);
/// Each word is left out with probability `rate`; one, chosen at random, stays if all would go (Wei & Zou, EDA, 2019).
Sentence drop_words(const Sentence& sentence, double rate, Generator& generator);
/// `swaps` times, two uniform positions exchange their words.
Sentence swap_words(const Sentence& sentence, int64_t swaps, Generator& generator);
/// Each word becomes `mask` with probability `rate`.
Sentence mask_words(const Sentence& sentence, double rate, int64_t mask, Generator& generator);
/// ⌈share · n⌉ words in a row from a uniform place. Throws ValueError unless 0 < share ≤ 1.
Sentence crop_words(const Sentence& sentence, double share, Generator& generator);

}  // namespace plumb::augment
