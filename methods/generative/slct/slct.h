// sLCT (Dao et al., ICLR 2025): consistency training in the latent space of an autoencoder, where a few numbers lie far out.
#pragma once
#include "models/diffusion/consistency_training.h"

namespace plumb::methods::slct {

/// c for a grid of N = `levels` noise levels: `first` on the first grid, s₀ + 1 levels, then exp(−a ln(N − 1) − b): smaller steps leave
/// smaller differences, by which c is to stand. In root mean squares. Throws ValueError unless N ≥ 2 and first > 0.
double adaptive_c(int64_t levels, double first, int64_t s0 = 10, double a = 1.15, double b = 0.85);

struct Options {
  int64_t s0 = 10, s1 = 640;
  diffusion::ConsistencyMetric metric = diffusion::ConsistencyMetric::cauchy;  ///< or pseudo_huber_mean, geman_mcclure: c as theirs
  bool adaptive = true;                                                        ///< c follows the grid; else it stays the first
  double first_c = 0;               ///< 0: 0.00054 √d, 0.0346 for the latents of the paper (4 · 32 · 32 numbers)
  int64_t coupling = 128;           ///< noise is assigned to data within so many examples; 0: not at all
  double share = 0.25, factor = 5;  ///< of the denoising loss at the lowest noise
  int64_t average_from =
      -1;  ///< the step from which an average (0.9999) is the target, as in the last epochs of the released code; −1: never
};

/// What iCT becomes, for latents of d numbers with standard deviation 0.5 (diffusion::LatentStandardizer) and `steps` of training:
///   L = E ln(1 + r²/(2c²)) / (σ_(i+1) − σ_i) + 5 E_(i ≤ N/4) (1/σ_(i+1)² + 1/σ_d²) mean(f(x + σ_(i+1) z) − x)²
/// r² the mean of squares between f(x + σ_(i+1) z, σ_(i+1)) and sg f(x + σ_i z, σ_i), z assigned to x by optimal transport within a batch,
/// c by adaptive_c. The rest is iCT's. The fifth change is in the network: norms without a learned weight (nn::NonScalingNorm).
/// Throws ValueError for what makes no recipe.
diffusion::ConsistencyRecipe recipe(int64_t steps, int64_t d, const Options& options = {});

/// Whether a step's loss can be learned from; counts those that cannot. A run skips them and goes on.
class FiniteSteps {
 public:
  bool learnable(const Tensor& loss);
  int64_t skipped() const { return skipped_; }

 private:
  int64_t skipped_ = 0;
};

}  // namespace plumb::methods::slct
