// Pairs of noise levels and the losses on them.
#include "models/diffusion/consistency.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "engine/autograd/grad_mode.h"
#include "models/diffusion/loss.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::diffusion {
namespace {

void check_grid(const char* who, int64_t step, int64_t steps, int64_t s0, int64_t s1) {
  if (s0 < 1 || s1 < s0)
    throw ValueError(std::string(who) + ": needs 1 <= s0 <= s1, got " + std::to_string(s0) + " and " + std::to_string(s1));
  if (steps < 1 || step < 0) throw ValueError(std::string(who) + ": step " + std::to_string(step) + " of " + std::to_string(steps));
}

int64_t doublings(int64_t s0, int64_t s1) { return static_cast<int64_t>(std::floor(std::log2(static_cast<double>(s1 / s0)))); }

}  // namespace

int64_t doubling_grid_size(int64_t step, int64_t steps, int64_t s0, int64_t s1) {
  check_grid("doubling_grid_size", step, steps, s0, s1);
  auto stage = static_cast<int64_t>(std::floor(static_cast<double>(steps) / (std::log2(static_cast<double>(s1 / s0)) + 1)));
  if (stage < 1)
    throw ValueError("doubling_grid_size: " + std::to_string(steps) + " steps are too few for stages from " + std::to_string(s0) + " to " +
                     std::to_string(s1) + " intervals");
  int64_t most = doublings(s0, s1) + 1;  // one more where s1/s0 is no power of 2: the last stage has s1
  return std::min(s0 << std::min(step / stage, most), s1) + 1;
}

int64_t growing_grid_size(int64_t step, int64_t steps, int64_t s0, int64_t s1) {
  check_grid("growing_grid_size", step, steps, s0, s1);
  double first = static_cast<double>(s0), last = static_cast<double>(s1 + 1),
         share = static_cast<double>(step) / static_cast<double>(steps);
  double root = std::sqrt(share * (last * last - first * first) + first * first);
  return std::max<int64_t>(1, static_cast<int64_t>(std::ceil(root - 1))) + 1;
}

double grid_ema_decay(int64_t levels, int64_t s0, double mu0) {
  if (levels < 1 || !(mu0 > 0 && mu0 <= 1))
    throw ValueError("grid_ema_decay: needs levels >= 1 and mu0 in (0, 1], got " + std::to_string(levels) + " and " + std::to_string(mu0));
  return std::exp(static_cast<double>(s0) * std::log(mu0) / static_cast<double>(levels));
}

void PairOptions::check() const {
  check_grid("consistency", 0, steps, s0, s1);
  if (curriculum == ConsistencyCurriculum::doubling) doubling_grid_size(0, steps, s0, s1);
  if (!(std > 0)) throw ValueError("consistency: std must be positive, it is " + std::to_string(std));
  karras_sigmas(2, sigma_min, sigma_max, rho);
}

PairSampler::PairSampler(PairOptions options) : options_(options) { options_.check(); }

int64_t PairSampler::levels(int64_t step) const {
  const PairOptions& o = options_;
  switch (o.curriculum) {
    case ConsistencyCurriculum::doubling:
      return doubling_grid_size(step, o.steps, o.s0, o.s1);
    case ConsistencyCurriculum::growing:
      return growing_grid_size(step, o.steps, o.s0, o.s1);
    default:
      return o.s1 + 1;
  }
}

void PairSampler::refine(int64_t levels) {
  if (static_cast<int64_t>(sigmas_.size()) == levels) return;
  sigmas_ = karras_sigmas(levels, options_.sigma_min, options_.sigma_max, options_.rho, GridOrder::ascending);
  bool lognormal = options_.law == IntervalLaw::lognormal;
  law_ = lognormal ? lognormal_bin_probabilities(sigmas_, options_.mean, options_.std) : std::vector<double>(sigmas_.size() - 1, 1.0);
}

NoisePair PairSampler::draw(int64_t step, const Tensor& clean, Generator& generator) {
  if (clean.rank() < 2 || clean.numel() == 0) throw ValueError("consistency: the batch is empty: " + to_string(clean.shape()));
  refine(levels(step));
  std::vector<int64_t> place = draw_places(law_, clean.size(0), generator);
  std::vector<double> weights;
  for (int64_t i : place) {
    auto at = static_cast<size_t>(i);
    weights.push_back(options_.weight == IntervalWeight::one ? 1 : 1 / (sigmas_[at + 1] - sigmas_[at]));
  }
  NoGrad off;
  Tensor high = levels_at(sigmas_, place, clean, 1), low = levels_at(sigmas_, place, clean), z = randn_like(clean, &generator);
  Tensor weight = to(to(from_vector(weights), compute_dtype(clean.dtype())), clean.device());
  return {clean + per_example(high, clean) * z, high, clean + per_example(low, clean) * z, low, weight};
}

NoisePair distilled(NoisePair pair, const Denoiser& teacher, Solver solver) {
  NoGrad off;
  pair.x_low = ode_step(solver, teacher, pair.x_high, pair.high, pair.low);
  return pair;
}

double pseudo_huber_scale(int64_t d) {
  if (d < 1) throw ValueError("pseudo_huber_scale: examples have at least 1 number, not " + std::to_string(d));
  return 0.00054 * std::sqrt(static_cast<double>(d));
}

Tensor consistency_distances(ConsistencyMetric metric, const Tensor& u, const Tensor& v, double c) {
  if (metric == ConsistencyMetric::pseudo_huber) return pseudo_huber_distance(u, v, c);
  if (u.shape() != v.shape() || u.rank() < 2)
    throw ShapeError("consistency_distances: takes two [B, ..] of one shape, got " + to_string(u.shape()) + " and " + to_string(v.shape()));
  return mean(flatten(square(u - v), 1), {1});
}

Tensor consistency_losses(const NoisePair& pair, const Denoiser& student, const Denoiser& target, ConsistencyMetric metric, double c) {
  Generator before = default_generator();
  Tensor u = student(pair.x_high, pair.high), v;
  Generator after = default_generator();
  default_generator() = before;
  {
    NoGrad off;
    v = target(pair.x_low, pair.low);
  }
  default_generator() = after;
  return pair.weight * consistency_distances(metric, u, v, c);
}

}  // namespace plumb::diffusion
