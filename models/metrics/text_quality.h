// How well text is predicted and written: perplexity of a model, BLEU of its translations.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "engine/core/tensor.h"

namespace plumb::metrics {

/// exp of the mean cross-entropy in nats a token, gathered batch by batch: tokens count the same, however batches are cut.
class Perplexity {
 public:
  explicit Perplexity(int64_t ignore_index = -100) : ignore_index_(ignore_index) {}
  /// logits [.., V], targets [..]. Errors as cross_entropy.
  void add(const Tensor& logits, const Tensor& targets);
  double nats() const { return total_ / static_cast<double>(tokens_); }  ///< mean a token; NaN of none
  double value() const;
  int64_t tokens() const { return tokens_; }

 private:
  int64_t ignore_index_;
  double total_ = 0;
  int64_t tokens_ = 0;
};

struct BleuOptions {
  int64_t longest = 4;     ///< n-grams of 1 … so many tokens, equally weighted
  bool smoothing = false;  ///< one more match and one more n-gram for n > 1 (Lin & Och 2004), for single sentences
};
struct Bleu {
  double score = 0;                ///< in [0, 1]; papers give it times 100
  std::vector<double> precisions;  ///< of each n; 0 where there are no n-grams
  double brevity_penalty = 0;
  int64_t length = 0, reference_length = 0;
};
using Sentence = std::vector<int32_t>;

/// exp(Σ log p_n / N) · min(1, exp(1 − r / c)) of a corpus (Papineni et al. 2002): p_n is the share of the hypotheses' n-grams that some
/// reference has, each at most as often as the reference that has it most; c their total length, r that of the references nearest in
/// length (of two equally near the shorter). references[i] are those of hypothesis i. Tokenisation is the caller's.
/// Throws ValueError if the numbers differ, a hypothesis has no reference, or longest < 1.
Bleu bleu(const std::vector<Sentence>& hypotheses, const std::vector<std::vector<Sentence>>& references, const BleuOptions& options = {});
/// The same of words.
Bleu bleu(const std::vector<std::vector<std::string>>& hypotheses, const std::vector<std::vector<std::vector<std::string>>>& references,
          const BleuOptions& options = {});

}  // namespace plumb::metrics
