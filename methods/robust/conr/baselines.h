// What ConR is compared and combined with: the balanced squared error, ranks of features like ranks of targets, and smoothed statistics of
// features.
#pragma once
#include <vector>

#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::methods::conr {

/// Balanced MSE by the batch (BMC; Ren et al., CVPR 2022): 2σ² times the cross-entropy of −(ŷ_i − y_j)² / 2σ² over j with truth j = i: the
/// squared error under a prior of targets that is flat instead of the training set's. predictions and targets [B]. Throws ShapeError for
/// other shapes, ValueError unless σ > 0 or for a target that is NaN.
Tensor balanced_mse(const Tensor& predictions, const Tensor& targets, double sigma);

/// Ranks within each row, divided by its length: the largest has 1/n, equal ones in their order. x [.., n].
Tensor normalised_ranks(const Tensor& x);

/// RankSim (Gong et al., ICML 2022): the mean over entries, summed over rows, of the squared difference of the normalised ranks of
/// features' cosines and of −|y_i − y_j|. Ranks pass a gradient by their change under a perturbation of `interpolation` times theirs
/// (Vlastelica et al., ICLR 2020). Of examples with equal targets one, drawn by the generator, takes part. features [B, D], targets [B].
Tensor rank_similarity(const Tensor& features, const Tensor& targets, Generator& generator, double interpolation = 2);

struct SmoothingOptions {
  double momentum = 0.9;  ///< of what was there before
  int64_t size = 5;       ///< of the kernel
  double sigma = 2;
  double least = 0.1, most = 10;  ///< bounds of the ratio of variances
};

/// Feature distribution smoothing (FDS; Yang et al., ICML 2021): mean and variance of features in each bin of targets, smoothed over
/// neighbouring bins; features are moved from their bin's own statistics to the smoothed ones. Its state is two tables.
class FeatureSmoother {
 public:
  /// Throws ValueError unless bins and width are positive, 0 ≤ momentum ≤ 1, and as lds_kernel.
  FeatureSmoother(int64_t bins, int64_t width, SmoothingOptions options = {});
  /// At the end of an epoch: features [n, width] of all training examples with their bins i64 [n]. The first time the statistics are taken
  /// as they are. Bins without examples keep what they had. Throws ShapeError, IndexError for a bin outside.
  void update(const Tensor& features, const Tensor& bins);
  /// (f − μ_b) √clip(σ̃²_b / σ²_b, least, most) + μ̃_b for features [B, width]; as they are before the first update, and where a bin has
  /// no statistics or no variance. Gradients pass through f.
  Tensor operator()(const Tensor& features, const Tensor& bins) const;
  const Tensor& mean() const { return mean_; }  ///< [bins, width]
  const Tensor& variance() const { return variance_; }
  const Tensor& smoothed_mean() const { return smoothed_mean_; }
  const Tensor& smoothed_variance() const { return smoothed_variance_; }

 private:
  /// The kernel's mean over the bins around that have statistics.
  Tensor smoothed(const Tensor& table) const;
  SmoothingOptions options_;
  std::vector<double> kernel_;
  std::vector<bool> known_;
  Tensor mean_, variance_, smoothed_mean_, smoothed_variance_;
};

}  // namespace plumb::methods::conr
