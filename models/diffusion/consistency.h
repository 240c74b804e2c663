// Consistency models: training them on pairs of neighbouring noise levels, with or without a teacher (Song et al. 2023; Song & Dhariwal
// 2024).
#pragma once
#include "models/diffusion/noise_draw.h"
#include "models/diffusion/precondition.h"
#include "models/diffusion/solver.h"
#include "models/diffusion/stochastic_solver.h"

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
  std::vector<Tensor> path = {};    ///< the grid's levels from σ_high down to σ_low, both among them, [B] each
  std::vector<int64_t> place = {};  ///< of σ_low in the grid, from 0
  int64_t levels = 0;               ///< how many the grid has
  int64_t step = 0;                 ///< of training, for which the pair was drawn
  Tensor clean = {};                ///< the data behind the pair
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
  std::vector<double> levels = {};  ///< an ascending grid of the caller's in the place of Karras'; the curriculum is then constant
  int64_t stride = 1;               ///< how many intervals of the grid lie between the ends of a pair
  int64_t coupling = 0;             ///< noise is assigned to data by optimal transport within groups of so many examples; 0: not at all
  /// Throws ValueError for what makes no grid or no law.
  void check() const;
};

/// Draws training pairs: a stretch [σ_i, σ_(i+stride)] of the step's ascending grid for every example, by the mass that the lognormal law
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
/// The pair with x_low where `sub_steps` steps of a teacher's SDE carry x_high along its path, each over equally many intervals, with new
/// noise in each. Nothing is recorded. Throws ValueError for a negative number or one that does not divide the stride.
NoisePair distilled(NoisePair pair, const Denoiser& teacher, const NoiseRule& rule, int64_t sub_steps = 1,
                    Generator& generator = default_generator());

// -- how far the answers are apart -------------------------------------------------------------------------

/// pseudo_huber: √(‖u − v‖² + c²) − c, one norm an example; mean_square: the mean over the example of (u − v)². Of robust_metric.h:
/// pseudo_huber_mean, cauchy and geman_mcclure, c in root mean squares, and elementwise_huber.
enum class ConsistencyMetric : uint8_t { pseudo_huber, mean_square, pseudo_huber_mean, cauchy, geman_mcclure, elementwise_huber };
/// c = 0.00054 √d of iCT for examples of d numbers. Throws ValueError unless d ≥ 1.
double pseudo_huber_scale(int64_t d);
/// [B]. Throws ValueError for c ≤ 0 where the metric has a c, ShapeError for shapes that differ.
Tensor consistency_distances(ConsistencyMetric metric, const Tensor& u, const Tensor& v, double c);

/// What student and target say of the data.
struct ConsistencyAnswers {
  Tensor student, target;
};
/// student(x_high, high) and target(x_low, low). The target is evaluated without being recorded, and with the random numbers (dropout
/// masks) that the student drew: both see one sub-network. The default generator stands after it where the student left it.
ConsistencyAnswers consistency_answers(const NoisePair& pair, const Denoiser& student, const Denoiser& target);

/// The denoising loss of the pairs at the lowest noise, [B]: for those with i ≤ ⌊share · N⌋, i = 1, 2, … the number of σ_low in the grid
/// and N its size, (B/|S|)(1/σ_high² + 1/σ_d²) mean_j(answer − clean)², 0 for all others. Its mean over the batch is the mean over the |S|
/// pairs alone, and 0 if there are none. Throws ValueError unless 0 ≤ share ≤ 1.
Tensor low_noise_losses(const NoisePair& pair, const Tensor& answer, double share, double sigma_data = 0.5);

/// weight_b · distance of the answers, [B].
Tensor consistency_losses(const NoisePair& pair, const Denoiser& student, const Denoiser& target, ConsistencyMetric metric, double c = 0);

}  // namespace plumb::diffusion
