// Nested dropout as compression of features (Chen, Hu, Shen, Ai, Suykens, Compressing Features for Learning with Noisy Labels, TNNLS 2022):
// training keeps only the first K channels of the last features, with a new random K for every batch, so that channels are ordered by how
// much they say; wrong labels, which need the late channels, are hardly memorised. No division by the share that is kept, neither in
// training nor after.
//   z = Wᵀ (m_K ⊙ f(x)),   m_K = 1 in the first K of D channels,   P(K = k) ∝ exp(−((k − μ) / σ)²), k = 1 … D
// The classifier W has no bias, and nothing stands between the mask and it.
#pragma once
#include <utility>
#include <vector>

#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::methods::compress_features {

class NestedDropout {
 public:
  /// σ = ∞ makes K uniform. Throws ValueError unless channels ≥ 1, σ > 0 and μ is finite. (To have no nested dropout, keep all D channels.)
  NestedDropout(int64_t channels, double sigma, double mu = 0);
  int64_t channels() const { return static_cast<int64_t>(probabilities_.size()); }
  /// P(K = k) at k − 1.
  const std::vector<double>& probabilities() const { return probabilities_; }
  /// P(channel j is kept) = P(K ≥ j) at j − 1.
  std::vector<double> keep_probabilities() const;
  /// E[K].
  double expected_channels() const;
  /// One K in 1 … D, for a whole batch.
  int64_t sample_k(Generator& generator) const;

 private:
  std::vector<double> probabilities_;
};

/// features [.., D] with all but the first k channels 0: the gradient of the others is exactly 0. k = D gives features itself.
/// Throws ValueError unless 1 ≤ k ≤ D.
Tensor keep_first(const Tensor& features, int64_t k);

/// For networks with two nested layers: a fair coin says which of the two is masked, the other keeps all its channels.
std::pair<int64_t, int64_t> alternate_k(const NestedDropout& first, const NestedDropout& second, Generator& generator);

/// The logits for every K at once, z_K = z_{K−1} + f_K W_K: features [N, D], weight [C, D] (as nn::Linear keeps it) → [N, D, C].
/// Throws ShapeError.
Tensor prefix_logits(const Tensor& features, const Tensor& weight);

struct FeaturesAndWeight {
  Tensor features, weight;  ///< [N, D], [C, D]
};
/// The accuracy in [0, 1] for every K = 1 … D of the networks' mean logits, labels i64 [N]; outside the graph, in pieces of bounded size.
/// Throws ShapeError, ValueError for no network or no example, IndexError for a label outside [0, C).
std::vector<double> prefix_accuracy(const std::vector<FeaturesAndWeight>& networks, const Tensor& labels);

/// argmax_K (accuracy_K − penalty (K − 1)), K from 1; the first of equal ones. Throws ValueError for no accuracies or one that is NaN.
int64_t select_k(const std::vector<double>& accuracies, double penalty = 1e-5);

}  // namespace plumb::methods::compress_features
