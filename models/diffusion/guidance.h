// Guidance: how strongly samples follow their condition.
#pragma once
#include <utility>

#include "models/diffusion/precondition.h"

namespace plumb::diffusion {

struct GuidanceOptions {
  double scale = 1;                    ///< w; 1 is the condition alone, 0 none
  double sigma_low = 0;                ///< applied for σ in (low, high] only, elsewhere w = 1 (Kynkäänniemi et al. 2024)
  double sigma_high = 1e30;
};

/// u + w (c − u): a conditional and an unconditional estimate (Ho & Salimans 2022).
Tensor guided(const Tensor& conditional, const Tensor& unconditional, double scale);

/// D_u + w (D_c − D_u). `both` gets every x and σ twice, [2B, ..] and [2B], and gives D_c for the first half, D_u for the second: one call
/// of the network. Where w is 1 only `conditional` is called.
Denoiser classifier_free(Denoiser conditional, Denoiser both, GuidanceOptions options);

}  // namespace plumb::diffusion
