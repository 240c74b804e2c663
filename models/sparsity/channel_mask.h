// Which channels of an activation to keep, sample by sample, and what is saved by leaving out the others.
#pragma once
#include <cstdint>
#include <vector>

#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::sparsity {

/// How strong each channel is: max over the places of |out|. out [N, C, ..] → [N, C], outside the graph.
Tensor channel_strength(const Tensor& out);

/// 1 for the channels that hold the share `r` of a sample's activation, else 0 (FTWT: Elkerdawy et al., CVPR 2022). With n = c / Σ c, c the
/// channels' strength, sorted descending (of equals the lower channel first), the channels are kept whose running sum of n, their own
/// included, is at most r + 1e−5: so a channel that alone is more than r empties the mask, unless `keep_at_least` is 1. r = 1 keeps those
/// of n > 1e−5, r < 0 all; and of a sample that is 0 everywhere all are kept. out [N, C, ..] → f32 [N, C], outside the graph. Throws
/// ValueError for r > 1 or a keep_at_least outside [0, C].
Tensor activation_mass_mask(const Tensor& out, double r, int64_t keep_at_least = 0);
/// Without the ⌊pruned · C⌋ weakest channels (of equals the higher one goes first) and those of strength ≤ 1e−5.
/// Throws ValueError for a `pruned` outside [0, 1].
Tensor topk_mask(const Tensor& out, double pruned);
/// As many ones in each row as mask [N, C] has, in places drawn anew.
Tensor shuffled_mask(const Tensor& mask, Generator& generator = default_generator());

/// out [N, C, ..] with every channel multiplied by its entry of mask [N, C] or [1, C]; differentiable in both. Throws ShapeError.
Tensor mask_channels(const Tensor& out, const Tensor& mask);

/// The multiplications of a convolution.
struct ConvCost {
  int64_t in = 1, out = 1;        ///< channels
  int64_t height = 1, width = 1;  ///< of the output
  int64_t kernel = 3;
  int64_t groups = 1;
  bool predicted = false;  ///< a linear layer in → out chooses its channels

  double dense() const;
  /// With so many active outputs and inputs: active_out · H' W' · (active_in / groups) · k²; a depthwise filter (groups = in) has its own
  /// one input. The predictor's in · out are added if there is one. Throws ValueError for more active channels than there are.
  double active(double active_out, double active_in) const;
};

/// Counts a network of convolutions one after the other, each reading what the mask of the one before left.
class DynamicFlops {
 public:
  /// Costs in order; `rest` is what is computed always (other layers). The convolution after another must have as many inputs as that one
  /// outputs: ShapeError.
  explicit DynamicFlops(std::vector<ConvCost> layers, double rest = 0);
  double dense() const;
  /// For each sample; masks[l] is [N, C_l], or undefined where layer l is not masked. Throws ShapeError.
  std::vector<double> per_sample(const std::vector<Tensor>& masks) const;
  /// 1 − the mean of per_sample / dense().
  double reduction(const std::vector<Tensor>& masks) const;

 private:
  std::vector<ConvCost> layers_;
  double rest_;
};

/// Share of entries of two masks that are equal.
double mask_agreement(const Tensor& a, const Tensor& b);
/// Share of the channels of mask [N, C] that are kept for more than `rare` and less than 1 − `rare` of the samples.
double varying_share(const Tensor& mask, double rare = 0.02);

}  // namespace plumb::sparsity
