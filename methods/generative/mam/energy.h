// Training on an unnormalised density log f instead of data: MaM's objectives, and those of autoregressive models that it is compared with.
#pragma once
#include "methods/generative/mam/mam.h"

namespace plumb::methods::mam {

/// log f(x), x i64 [B, D] with nothing missing → [B], any floating type.
using LogDensity = std::function<Tensor(const Tensor& x)>;

/// REINFORCE with a standardised reward. A = sg(log p) − log f, r = (A − mean A)/(std A + 1.19e-7), std unbiased; surrogate mean(sg(r) log
/// p), whose gradient in log p_b is r_b/B. Neither a constant added to log f nor a factor of A changes r.
struct Reinforce {
  Tensor advantage, reward;  ///< A and r, [B], outside the graph
  Tensor loss;               ///< a scalar
};
/// Throws ShapeError unless both are [B] with B ≥ 2.
Reinforce reinforce(const Tensor& log_p, const Tensor& log_f);
/// The same with two estimates of log p: the reward from `rewarded`, which is not differentiated, the gradient through `log_p`.
Reinforce reinforce(const Tensor& log_p, const Tensor& rewarded, const Tensor& log_f);

struct EnergyLoss {
  Tensor loss;                      ///< to be minimised, a scalar
  double fit = 0, consistency = 0;  ///< its parts: L_kl (or the squared error), and D L_mc + L_0
};
/// α (D L_mc(samples) + (log p(nothing) − log Z₀)²) + the REINFORCE surrogate of log p(samples): the reverse KL divergence. log Z₀ is a
/// fixed number, by convention D log 2: log p(x) is normalised by subtracting log p(nothing).
EnergyLoss kl_loss(const Heads& heads, const LogDensity& log_f, const Tensor& samples, const Tensor& rank, const Tensor& d, double alpha,
                   double log_z0);
/// α (D ½ (L_mc(proposals) + L_mc(samples)) + (log p(nothing) − log Z)²) + ½ mean (log p(x) − log f(x))² over proposals x: regression, with
/// a learned log Z (a parameter with one element).
EnergyLoss regression_loss(const Heads& heads, const LogDensity& log_f, const Tensor& proposals, const Tensor& samples, const Tensor& log_z,
                           double alpha, Generator& generator = default_generator());

/// The persistent samples of MaM's energy-based training.
struct SampleBuffer {
  Tensor x;                     ///< i64 [B, D]
  int64_t gibbs_steps = 4;      ///< g, variables redrawn a step
  int64_t refresh_every = 196;  ///< steps after which all are drawn afresh (an epoch of the paper: 100,000 rows of 512); 0: never

  /// The buffer at step k: drawn afresh in random orders, or with the g variables of highest rank redrawn. Returns the ranks used.
  /// Throws ValueError for gibbs_steps outside 1 … D.
  Tensor advance(const any_order::Conditionals& model, int64_t step, Generator& generator = default_generator());
};

// -- what it is compared with: an autoregressive model of one fixed order, fresh samples at every step ------------------------------

/// Samples in forward order, the exact D-call log p in reward and gradient ("ARM-Full").
EnergyLoss arm_full_loss(const any_order::Conditionals& model, const LogDensity& log_f, const Tensor& samples);
/// D log p(x_d | x_<d) at one random d a row in their place ("ARM-MC"): one draw of d in the reward, another in the gradient, since one for
/// both would make it biased.
EnergyLoss arm_mc_loss(const any_order::Conditionals& model, const LogDensity& log_f, const Tensor& samples,
                       Generator& generator = default_generator());
/// D log p(x_d | x_<d) along the forward order, d i64 [B] in 1 … D: [B].
Tensor one_step_estimate(const any_order::Conditionals& model, const Tensor& x, const Tensor& d);

}  // namespace plumb::methods::mam
