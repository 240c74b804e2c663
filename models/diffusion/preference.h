// Preferences over samples: pairs of which one is preferred, how far a denoiser errs on both under one noise, and what DPO makes of it.
#pragma once
#include <functional>

#include "engine/core/generator.h"
#include "models/diffusion/precondition.h"

namespace plumb::diffusion {

/// For each condition two samples: preferred and rejected [B, ..] of one shape, condition [B, ..] (undefined: none).
struct PreferencePairs {
  Tensor preferred, rejected, condition;
  int64_t size() const { return preferred.size(0); }
  /// Throws ShapeError unless both are [B, ..] of one shape and there is a condition for each.
  void check() const;
  /// The pairs at these places, i64 [n].
  PreferencePairs at(const Tensor& index) const;
};

/// Annotated pairs: preference[b] = 1 says that `first` was preferred, 0 that `second` was, ½ that neither was: such pairs are left out.
/// Each of the others is turned round with probability `flip` (label noise). Throws ValueError for another preference, flip outside [0, 1],
/// or if no pair is left.
PreferencePairs preference_pairs(const Tensor& first, const Tensor& second, const Tensor& preference, const Tensor& condition = {},
                                 double flip = 0, Generator& generator = default_generator());

/// One noise [B, ..] and one time i64 [B] a pair, t ~ U{0 … T − 1}: both samples of a pair get the same, which is what makes the difference
/// of their errors a quiet one.
struct PairNoise {
  Tensor noise, time;
};
PairNoise shared_noise(const PreferencePairs& pairs, const VpSchedule& schedule, Generator& generator = default_generator());

/// F(x_t [B, ..], t i64 [B], condition) → [B, ..]
using TimedNetwork = std::function<Tensor(const Tensor& x, const Tensor& t, const Tensor& condition)>;

/// The mean over each sample of (F(x_t, t, c) − target)², [B] each, f32 (f64 for f64 data): target z for eps, x₀ for x0, √ᾱ z − √(1−ᾱ) x₀
/// for v. One call of the network with 2 B rows, the preferred first.
struct PairErrors {
  Tensor preferred, rejected;
};
PairErrors pair_errors(const TimedNetwork& network, const VpSchedule& schedule, Prediction prediction, const PreferencePairs& pairs,
                       const PairNoise& noise);

/// Diffusion-DPO (Wallace et al., CVPR 2024): −mean log σ(−(β/2) [(l_w − l_l) − (r_w − r_l)]), l the errors of what is trained, r those of
/// a frozen reference under the same noise; no gradient goes to r. A scalar. Throws ShapeError for errors that are not [B] of one B,
/// ValueError unless β > 0 is finite.
Tensor diffusion_dpo_loss(const PairErrors& errors, const PairErrors& reference, double beta = 5000);

/// The share of pairs with l_w < l_l: what the model itself prefers.
double preference_accuracy(const PairErrors& errors);

/// Throws ShapeError unless both are [B] of one B ≥ 1, named `op`.
void check_errors(const char* op, const PairErrors& errors);

}  // namespace plumb::diffusion
