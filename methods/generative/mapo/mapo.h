// Margin-aware preference optimisation (MaPO; Hong et al., AAAI 2026): a diffusion model learns preferences without a reference model.
#pragma once
#include "models/diffusion/preference.h"

namespace plumb::methods::mapo {

/// s(l) = u/(eᵘ − 1), u = k l: 1 at l = 0, falling to 0, in the shape and type of l (16-bit types as f32). By its series below u = 0.1 and
/// by e^(−u) above 30, so that value and slope keep their digits everywhere. Differentiable twice. Throws ValueError unless k > 0.
Tensor bounded_score(const Tensor& errors, double k);

enum class Link : uint8_t {
  released,  ///< of the code: m = s(l_w) − s(l_l),  L = mean l_w − β mean log σ(T m)
  power,     ///< of the revised paper: m = φ(l_w) − φ(l_l), φ = (l/(e^l − 1))^b,  L = mean l_w − (1/b) mean log σ(m)
};

struct MapoOptions {
  Link link = Link::released;
  double beta = 0.1;           ///< β; 0: the likelihood term alone (SFT)
  double snr = 0.5;            ///< k of the score
  double margin_scale = 1000;  ///< T: the length of the schedule of the released models, whatever the schedule is here
  double power = 64;           ///< b, 8 to 1024: the larger, the farther the preferred samples are from what the model makes
  /// Throws ValueError unless β ≥ 0, k > 0, T > 0 and b > 0 are finite.
  void check() const;
};

struct MapoLoss {
  Tensor loss;       ///< a scalar
  Tensor margin;     ///< m of each pair, [B], without T
  Tensor log_ratio;  ///< log σ(T m), log σ(m) for power, [B]
};

/// The loss of per-sample mean squared errors of one denoiser under one noise (diffusion::pair_errors). Both halves get their gradient:
///   released   ∂L/∂l_w = (1 − β T g s'(l_w))/B > 0,   ∂L/∂l_l = β T g s'(l_l)/B < 0,   g = σ(−T m)
/// so that the rejected error is pushed up only as long as the margin is small. Throws ShapeError unless both are [B] of one B ≥ 1,
/// ValueError for negative or NaN errors and as MapoOptions::check.
MapoLoss mapo_loss(const diffusion::PairErrors& errors, const MapoOptions& options = {});

/// mean l_w: supervised fine-tuning on the preferred samples, MaPO with β = 0.
Tensor sft_loss(const diffusion::PairErrors& errors);

/// Where the released link's sigmoid is of no use, as shares of pairs: T m > 10 (no preference left to learn) and T m < −10 (gradients
/// amplified about β T k/2 times).
struct Saturation {
  double settled, amplified;
};
Saturation saturation(const Tensor& margin, double margin_scale = 1000);

}  // namespace plumb::methods::mapo
