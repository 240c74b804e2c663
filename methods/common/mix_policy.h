// Policies of mixing: which two examples become one, how, and with what share; and a network's pass over them.
#pragma once
#include "engine/core/generator.h"
#include "methods/common/staged_network.h"

namespace plumb::methods {

enum class MixKind : uint8_t {
  none,      ///< every example as it is
  mixup,     ///< λ x + (1 − λ) x' (Zhang et al., ICLR 2018)
  cutmix,    ///< a box of x' in x; λ is the share that remains of x after the border cut the box (Yun et al., ICCV 2019)
  manifold,  ///< mixup before a random stage of the network, the first one (the examples) and the head included (Verma et al., ICML 2019)
  resize,    ///< all of x', made smaller, in a random place of x (Qin et al. 2020)
  fmix       ///< x where a random smooth map is highest, x' elsewhere (Harris et al. 2020)
};

struct MixPolicy {
  MixKind kind = MixKind::mixup;
  double alpha = 1;                      ///< λ ~ Beta(α, α), but for resize
  bool per_example = false;              ///< mixup and manifold: a λ for each example; else one for the batch, as all others have
  double smallest = 0.1, largest = 0.8;  ///< resize: sides are τ times as long, τ uniform between these; λ = 1 − τ²
  double decay = 3;                      ///< fmix: amplitude ∝ frequency^−decay

  /// Throws ValueError naming what is out of range.
  void check() const;
};

/// What is to be predicted for examples that are each made of two.
struct MixedLabels {
  Tensor first, second;  ///< i64 [B]
  Tensor lambda;         ///< [B]: the first label's share in [0, 1]
};
/// −mean_i Σ_c t_ic log softmax(z_i)_c with t = mixed_targets(labels): logits [B, C]. Differentiable in logits and λ. label_smoothing as
/// cross_entropy. Throws as mixed_targets and cross_entropy.
Tensor mixed_cross_entropy(const Tensor& logits, const MixedLabels& labels, double label_smoothing = 0);

struct MixedExamples {
  Tensor x;
  MixedLabels labels;
};
/// x floating [B, ..], on any device, labels i64 [B]; partners are a random permutation of the batch, which may leave an example its own.
/// cutmix, resize and fmix take images [B, C, H, W]. Throws as MixPolicy::check, ShapeError for another shape, ValueError for manifold,
/// which needs a network.
MixedExamples mix_examples(const MixPolicy& policy, const Tensor& x, const Tensor& labels, Generator& generator);

struct MixedLogits {
  Tensor logits;  ///< [B, C]
  MixedLabels labels;
};
/// The network's logits of mixed examples, or of examples mixed on the way.
MixedLogits mixed_logits(const MixPolicy& policy, const StagedNetwork& network, const Tensor& x, const Tensor& labels,
                         Generator& generator);

/// fmix's mask, bool [height, width]: true in the round(λ H W) places where z is highest, z the inverse Fourier transform of complex
/// normal noise times frequency^−decay (frequencies below 1/max(H, W), the mean's 0 among them, count as that).
/// Throws ValueError unless 0 ≤ λ ≤ 1.
Tensor smooth_mask(int64_t height, int64_t width, double lambda, double decay, Generator& generator);

}  // namespace plumb::methods
