// Semixup (Nguyen, Saarakkala, Blaschko & Tiulpin, IEEE Transactions on Medical Imaging 2020): few labels, and three ways in which the
// predictions for unlabelled images are to agree: with those for the image augmented (in-manifold), with those for the image mixed with
// another (out-of-manifold), and interpolated with those for the mixture (interpolation consistency). No gradient is stopped anywhere.
#pragma once
#include "methods/common/consistency_baselines.h"
#include "methods/common/mixing.h"

namespace plumb::methods::semixup {

/// Logits [N, K] of the present network for u, u[π], T(u) and m = λ u + (1 − λ) u[π].
struct Logits {
  Tensor z, z_perm, z_aug, z_mix;
};

struct Weights {
  double in = 2, interpolated = 4, out = 2;
  bool drop_in = false, drop_interpolated = false, drop_out = false;  ///< the ablation: 1, 2, 3
};

struct Parts {
  Tensor in;                        ///< D(z̃, z)
  Tensor interpolated;              ///< D(z_m, λ z + (1 − λ) z2)
  Tensor out_mixed, out_augmented;  ///< D(z, z_m), D(z̃, z_m)
  Tensor total;                     ///< w_in in + w_ic interpolated + w_out (out_mixed + out_augmented), without what is dropped
};
/// The unlabelled loss, with D = softmax_mse. Logits are interpolated, not probabilities. Throws ValueError unless 0 ≤ λ ≤ 1 and weights
/// are not negative, ShapeError unless all logits have one shape [N, K].
Parts semixup_loss(const Logits& logits, double lambda, const Weights& weights = {});

struct SemixupOptions {
  Weights weights = {};
  MixOptions unlabelled = {0.75, 0.75, 0.55};  ///< of u and u[π]
  ConsistencyCommon common = {};               ///< mixup of the labelled examples (λ at least 0.7), T, and the seed of all draws
};

/// The loss of a step for train_semi_supervised: mixup CE of the labelled examples + semixup_loss. All views go through the network in one
/// pass, u[π] a second time, so that its dropout differs; a network with batch norm would couple the views.
class Semixup {
 public:
  /// Throws ValueError for options out of range.
  explicit Semixup(const SemixupOptions& options = {});
  template <typename Model>
  SemiStep operator()(Model& model, const SemiBatch& batch, int64_t) {
    Drawn d = draw(batch);
    return from_logits(model(d.images), d);
  }
  /// Of the last step.
  const Parts& parts() const { return parts_; }

 private:
  struct Drawn {
    MixedLabelled labelled;
    Tensor images;  // labelled mixture, u, u[π], T(u), m
    double lambda;
    int64_t unlabelled;
  };
  Drawn draw(const SemiBatch& batch);
  SemiStep from_logits(const Tensor& rows, const Drawn& d);
  SemixupOptions options_;
  ConsistencyDraws draws_;
  Parts parts_;
};

}  // namespace plumb::methods::semixup
