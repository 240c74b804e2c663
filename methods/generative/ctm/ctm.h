// Consistency trajectory models (Kim et al., ICLR 2024): one network that jumps from any noise level to any lower one along the
// probability-flow ODE, and is the denoiser where both are the same.
#pragma once
#include <functional>
#include <vector>

#include "models/diffusion/consistency.h"
#include "models/optim/objectives.h"

namespace plumb::methods::ctm {

/// F(c_in x [B, ..], c_noise(t) [B], c_noise(s) [B]) → [B, ..]
using TrajectoryNetwork = std::function<Tensor(const Tensor& x, const Tensor& time, const Tensor& end)>;
/// G(x [B, ..] at levels t [B], levels s [B]) → [B, ..]
using Jump = std::function<Tensor(const Tensor& x, const Tensor& t, const Tensor& s)>;

/// (s/t) x + (1 − s/t) g: where the ODE's line through x and the estimate g of its start stands at s; x itself, bit for bit, at s = t.
/// Throws ValueError unless 0 < s ≤ t.
Tensor jump_towards(const Tensor& estimate, const Tensor& x, const Tensor& t, const Tensor& s);
/// The g with which jump_towards leads from x at t to x_s at s < t: (x_s − (s/t) x)/(1 − s/t). Its limit for s → t is the denoiser.
Tensor exact_estimate(const Tensor& x, const Tensor& x_s, const Tensor& t, const Tensor& s);

/// A network read as a trajectory model: g(x, t, s) = c_skip(t) x + c_out(t) F(c_in(t) x, c_noise(t), c_noise(s)) with EDM's scalings.
class TrajectoryModel {
 public:
  explicit TrajectoryModel(TrajectoryNetwork network, double sigma_data = 0.5, double noise_scale = 1);
  Tensor estimate(const Tensor& x, const Tensor& t, const Tensor& s) const;  ///< g
  Tensor jump(const Tensor& x, const Tensor& t, const Tensor& s) const;      ///< G = jump_towards(g)
  diffusion::Denoiser denoiser() const;                                      ///< g(x, t, t)
  operator Jump() const;

 private:
  TrajectoryNetwork network_;
  diffusion::EdmPrecondition precondition_;
};

// -- training --------------------------------------------------------------------------------------------

struct CtmOptions {
  int64_t levels = 18;     ///< N of the Karras grid, descending: t_0 = σ_max … t_(N−1) = σ_min, which stands for time 0
  int64_t max_steps = 17;  ///< n_max < N: the most steps that the teacher goes
  double sigma_min = 0.002, sigma_max = 80, rho = 7, sigma_data = 0.5;
  diffusion::ConsistencyMetric metric = diffusion::ConsistencyMetric::mean_square;
  double c = 0;           ///< of pseudo_huber
  bool denoising = true;  ///< the denoising loss is added
  optim::AdaptiveWeightOptions denoising_weight = {.eps = 1e-4, .low = 0, .high = 1e4};
  optim::AdaptiveWeightOptions adversarial_weight = {.eps = 1e-4, .low = 0.01, .high = 10};
  /// Throws ValueError unless 1 ≤ max_steps < levels and the grid is one.
  void check() const;
  std::vector<double> grid() const { return diffusion::karras_sigmas(levels, sigma_min, sigma_max, rho); }
};

/// p(n) = n / Σ n for n = 1 … n_max: long ways are drawn more often. Throws ValueError for n_max < 1.
std::vector<double> step_probabilities(int64_t max_steps);

/// Where the examples of a batch start (t = t_from), how many steps n their teacher goes (u = t_(from + n)), one number for all, and where
/// the jumps end (s = t_end, from + n ≤ end).
struct Places {
  int64_t steps;
  std::vector<int64_t> from, end;
};
/// n by step_probabilities; from uniform in 0 … N−n−1; end uniform in from + n … N−1.
Places draw_places(int64_t batch, const CtmOptions& options, Generator& generator = default_generator());

/// [B], [B, ..], [B, ..]
struct SoftConsistency {
  Tensor losses, estimate, target;
};
/// d(x_est, x_tgt) with x_t = clean + t z, x_u = the teacher's Heun steps from x_t, and, θ⁻ the averaged weights,
///   x_est = G_θ⁻(G_θ(x_t, t, s), s, σ_min)      the outer weights get no gradient, but it passes through them
///   x_tgt = G_θ⁻(G_θ(x_u, u, s), s, σ_min)      no gradient at all
/// `average` must not require gradients of its own. Throws ValueError for an empty batch, ShapeError for another number of places.
SoftConsistency soft_consistency(const Jump& student, const Jump& average, const diffusion::Denoiser& teacher, const Tensor& clean,
                                 const Places& places, const CtmOptions& options, Generator& generator = default_generator());

/// What a step is made of.
struct Parts {
  TrajectoryModel student, average;
  diffusion::Denoiser teacher;
  Tensor last_weight;  ///< of the student's output layer, on which the losses' gradients are compared
  std::function<Tensor(const Tensor& x)> discriminator = {};  ///< logits; without one there is no adversarial loss
};
struct Objective {
  Tensor loss;                                             ///< L_CTM + λ_DSM L_DSM + λ_GAN L_GAN, a scalar
  Tensor estimate;                                         ///< x_est, the discriminator's fake
  double consistency = 0, denoising = 0, adversarial = 0;  ///< the three losses
  double denoising_weight = 0, adversarial_weight = 0;     ///< λ = ‖∂L_CTM/∂W‖ / (‖∂L_X/∂W‖ + 1e-4), W the last weight
};
/// L_DSM is EDM's loss at levels drawn half lognormal, half high; L_GAN = −E Dis(x_est).
Objective objective(const Parts& parts, const Tensor& clean, const CtmOptions& options, Generator& generator = default_generator());
/// E max(0, 1 − Dis(x)) + E max(0, 1 + Dis(sg x_est)): what the discriminator minimises.
Tensor discriminator_objective(const std::function<Tensor(const Tensor& x)>& discriminator, const Tensor& clean, const Tensor& estimate);

// -- sampling --------------------------------------------------------------------------------------------

/// A jump to `end` and normal noise of deviation `noise` lead to the level `next`.
struct GammaStep {
  double end, noise;
};
/// end = √(1 − γ²)(next − σ_min) + σ_min, noise = √(next² − end²). Throws ValueError for γ outside [0, 1] or next < σ_min.
GammaStep gamma_step(double next, double gamma, double sigma_min = 0.002);

/// γ-sampling along t_0 > … > t_M = σ_min: jump, and noise again except after the last. γ = 0 is deterministic, γ = 1 a consistency model's
/// multistep sampling. x [B, ..] at t_0. Nothing is recorded. Throws ValueError for times that do not descend, fewer than two, or γ outside
/// [0, 1].
Tensor gamma_sample(const Jump& model, const Tensor& x, const std::vector<double>& times, double gamma,
                    Generator& generator = default_generator());

}  // namespace plumb::methods::ctm
