// Consistency models: training them on pairs of neighbouring noise levels, with or without a teacher (Song et al. 2023; Song & Dhariwal
// 2024).
#pragma once
#include "models/diffusion/noise_draw.h"
#include "models/diffusion/precondition.h"
#include "models/diffusion/solver.h"

namespace plumb::diffusion {

// -- how fine the grid is ----------------------------------------------------------------------------------

/// N(k) = min(s₀ 2^⌊k/K'⌋, s₁) + 1 with K' = ⌊K/(log₂⌊s₁/s₀⌋ + 1)⌋: the number of noise levels at step k of K, doubled in equal stages
/// (iCT). Throws ValueError unless 0 ≤ k, 1 ≤ s₀ ≤ s₁ and K holds all stages.
int64_t doubling_grid_size(int64_t step, int64_t steps, int64_t s0, int64_t s1);
/// N(k) = max(1, ⌈√(k/K ((s₁+1)² − s₀²) + s₀²) − 1⌉) + 1 (Song et al. 2023).
int64_t growing_grid_size(int64_t step, int64_t steps, int64_t s0, int64_t s1);
/// μ = exp(s₀ ln μ₀ / N): the decay of a teacher's weights that goes with a grid of N levels. Throws ValueError unless N ≥ 1 and 0 < μ₀
/// ≤ 1.
double grid_ema_decay(int64_t levels, int64_t s0, double mu0);

// -- a pair of points on one trajectory --------------------------------------------------------------------

/// x_high at σ_high and x_low at σ_low < σ_high, [B, ..] and [B], and what each pair's distance is multiplied by, [B].
struct NoisePair {
  Tensor x_high, high, x_low, low, weight;
};

enum class ConsistencyCurriculum : uint8_t { doubling, growing, constant };
enum class IntervalLaw : uint8_t { lognormal, uniform };
enum class IntervalWeight : uint8_t { inverse_length, one };

struct PairOptions {
  int64_t steps = 400'000;  ///< K
  ConsistencyCurriculum curriculum = ConsistencyCurriculum::doubling;
  int64_t s0 = 10, s1 = 1280;  ///< intervals at first and at last; a constant grid has s1
  IntervalLaw law = IntervalLaw::lognormal;
  double mean = -1.1, std = 2;  ///< of ln σ in the lognormal law
  IntervalWeight weight = IntervalWeight::inverse_length;
  double sigma_min = 0.002, sigma_max = 80, rho = 7;
  /// Throws ValueError for what makes no grid or no law.
  void check() const;
};

/// Draws training pairs: an interval [σ_i, σ_(i+1)] of the step's ascending grid for every example, by the mass that the lognormal law
/// gives it or all alike, and one noise for both ends.
class PairSampler {
 public:
  explicit PairSampler(PairOptions options = {});
  const PairOptions& options() const { return options_; }
  /// N(k), the number of levels at this step.
  int64_t levels(int64_t step) const;
  /// x + σ z at both ends of an interval, with one z. Throws ValueError for an empty batch.
  NoisePair draw(int64_t step, const Tensor& clean, Generator& generator = default_generator());

 private:
  void refine(int64_t levels);
  PairOptions options_;
  std::vector<double> sigmas_, law_;
};

/// The pair with x_low where one step of a teacher's ODE carries x_high: distillation. Nothing is recorded.
NoisePair distilled(NoisePair pair, const Denoiser& teacher, Solver solver = Solver::heun);

// -- how far the answers are apart -------------------------------------------------------------------------

/// pseudo_huber: √(‖u − v‖² + c²) − c, one norm an example; mean_square: the mean over the example of (u − v)².
enum class ConsistencyMetric : uint8_t { pseudo_huber, mean_square };
/// c = 0.00054 √d of iCT for examples of d numbers. Throws ValueError unless d ≥ 1.
double pseudo_huber_scale(int64_t d);
/// [B]. Throws ValueError for c ≤ 0 of pseudo_huber, ShapeError for shapes that differ.
Tensor consistency_distances(ConsistencyMetric metric, const Tensor& u, const Tensor& v, double c);

/// weight_b · distance(student(x_high, high), target(x_low, low)), [B]. The target is evaluated without being recorded, and with the random
/// numbers (dropout masks) that the student drew: both see one sub-network. The default generator stands after it where the student left
/// it.
Tensor consistency_losses(const NoisePair& pair, const Denoiser& student, const Denoiser& target, ConsistencyMetric metric, double c = 0);

}  // namespace plumb::diffusion
