// Pairs of noise levels and the losses on them.
#include "models/diffusion/consistency.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "engine/autograd/grad_mode.h"
#include "models/diffusion/coupling.h"
#include "models/diffusion/loss.h"
#include "models/diffusion/robust_metric.h"
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
    throw ValueError("grid_ema_decay: needs levels >= 1 and mu0 in (0, 1], got " + std::to_string(levels) + " and " + decimal(mu0));
  return std::exp(static_cast<double>(s0) * std::log(mu0) / static_cast<double>(levels));
}

void PairOptions::check() const {
  check_grid("consistency", 0, steps, s0, s1);
  if (curriculum == ConsistencyCurriculum::doubling && levels.empty()) doubling_grid_size(0, steps, s0, s1);
  if (!(std > 0)) throw ValueError("consistency: std must be positive, it is " + decimal(std));
  if (coupling < 0) throw ValueError("consistency: groups for coupling cannot have " + std::to_string(coupling) + " examples");
  if (stride < 1) throw ValueError("consistency: a pair lies at least 1 interval apart, not " + std::to_string(stride));
  if (levels.empty()) {
    karras_sigmas(2, sigma_min, sigma_max, rho);
    return;
  }
  for (size_t i = 0; i < levels.size(); ++i)
    if (!(levels[i] > (i == 0 ? 0 : levels[i - 1])))
      throw ValueError("consistency: noise levels must ascend from above 0, " + decimal(i == 0 ? 0 : levels[i - 1]) +
                       " is followed by " + decimal(levels[i]));
  if (stride >= static_cast<int64_t>(levels.size()))
    throw ValueError("consistency: pairs " + std::to_string(stride) + " intervals apart need more than " + std::to_string(levels.size()) +
                     " noise levels");
}

PairSampler::PairSampler(PairOptions options) : options_(std::move(options)) { options_.check(); }

int64_t PairSampler::levels(int64_t step) const {
  const PairOptions& o = options_;
  if (!o.levels.empty()) return static_cast<int64_t>(o.levels.size());
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
  const PairOptions& o = options_;
  if (static_cast<int64_t>(sigmas_.size()) == levels) return;
  if (o.stride >= levels)
    throw ValueError("consistency: pairs " + std::to_string(o.stride) + " intervals apart need more than " + std::to_string(levels) +
                     " noise levels");
  sigmas_ = o.levels.empty() ? karras_sigmas(levels, o.sigma_min, o.sigma_max, o.rho, GridOrder::ascending) : o.levels;
  auto stride = static_cast<size_t>(o.stride);
  law_.assign(sigmas_.size() - stride, 1.0);
  if (o.law != IntervalLaw::lognormal) return;
  std::vector<double> bins = lognormal_bin_probabilities(sigmas_, o.mean, o.std);
  for (size_t i = 0; i < law_.size(); ++i) {
    law_[i] = 0;
    for (size_t k = 0; k < stride; ++k) law_[i] += bins[i + k];
  }
}

NoisePair PairSampler::draw(int64_t step, const Tensor& clean, Generator& generator) {
  if (clean.rank() < 2 || clean.numel() == 0) throw ValueError("consistency: the batch is empty: " + to_string(clean.shape()));
  refine(levels(step));
  NoisePair pair;
  pair.place = draw_places(law_, clean.size(0), generator);
  pair.levels = static_cast<int64_t>(sigmas_.size());
  pair.step = step;
  pair.clean = clean;
  std::vector<double> weights;
  for (int64_t i : pair.place) {
    auto at = static_cast<size_t>(i);
    double length = sigmas_[at + static_cast<size_t>(options_.stride)] - sigmas_[at];
    weights.push_back(options_.weight == IntervalWeight::one ? 1 : 1 / length);
  }
  NoGrad off;
  for (int64_t k = options_.stride; k >= 0; --k) pair.path.push_back(levels_at(sigmas_, pair.place, clean, k));
  pair.high = pair.path.front(), pair.low = pair.path.back();
  Tensor z = randn_like(clean, &generator);
  if (options_.coupling > 0) z = coupled(clean, z, options_.coupling);
  pair.x_high = clean + per_example(pair.high, clean) * z;
  pair.x_low = clean + per_example(pair.low, clean) * z;
  pair.weight = to(to(from_vector(weights), compute_dtype(clean.dtype())), clean.device());
  return pair;
}

NoisePair distilled(NoisePair pair, const Denoiser& teacher, Solver solver) {
  NoGrad off;
  pair.x_low = ode_step(solver, teacher, pair.x_high, pair.high, pair.low);
  return pair;
}

NoisePair distilled(NoisePair pair, const Denoiser& teacher, const NoiseRule& rule, int64_t sub_steps, Generator& generator) {
  auto stride = static_cast<int64_t>(pair.path.size()) - 1;
  if (sub_steps < 1 || stride < 1 || stride % sub_steps != 0)
    throw ValueError("distilled: " + std::to_string(sub_steps) + " steps of the solver do not divide the " + std::to_string(stride) +
                     " intervals between the ends of a pair");
  std::vector<Tensor> path;
  for (int64_t k = 0; k <= stride; k += stride / sub_steps) path.push_back(pair.path[static_cast<size_t>(k)]);
  pair.x_low = solve_path(rule, teacher, pair.x_high, path, generator);
  return pair;
}

double pseudo_huber_scale(int64_t d) {
  if (d < 1) throw ValueError("pseudo_huber_scale: examples have at least 1 number, not " + std::to_string(d));
  return 0.00054 * std::sqrt(static_cast<double>(d));
}

Tensor consistency_distances(ConsistencyMetric metric, const Tensor& u, const Tensor& v, double c) {
  auto robust = [&](RobustMetric kind) { return robust_metric(kind, u, v, c, SquareReduction::mean); };
  switch (metric) {
    case ConsistencyMetric::pseudo_huber:
      return pseudo_huber_distance(u, v, c);
    case ConsistencyMetric::pseudo_huber_mean:
      return robust(RobustMetric::pseudo_huber);
    case ConsistencyMetric::cauchy:
      return robust(RobustMetric::cauchy);
    case ConsistencyMetric::geman_mcclure:
      return robust(RobustMetric::geman_mcclure);
    case ConsistencyMetric::elementwise_huber:
      return elementwise_huber(u, v, c);
    default:
      break;
  }
  if (u.shape() != v.shape() || u.rank() < 2)
    throw ShapeError("consistency_distances: takes two [B, ..] of one shape, got " + to_string(u.shape()) + " and " + to_string(v.shape()));
  return mean(flatten(square(u - v), 1), {1});
}

ConsistencyAnswers consistency_answers(const NoisePair& pair, const Denoiser& student, const Denoiser& target) {
  Generator before = default_generator();
  Tensor u = student(pair.x_high, pair.high), v;
  Generator after = default_generator();
  default_generator() = before;
  {
    NoGrad off;
    v = target(pair.x_low, pair.low);
  }
  default_generator() = after;
  return {u, v};
}

Tensor low_noise_losses(const NoisePair& pair, const Tensor& answer, double share, double sigma_data) {
  if (!(share >= 0 && share <= 1)) throw ValueError("low_noise_losses: the share must lie in [0, 1], it is " + decimal(share));
  std::vector<double> weights(pair.place.size(), 0.0), high = to_vector(pair.high);
  auto most = static_cast<int64_t>(share * static_cast<double>(pair.levels));
  double selected = static_cast<double>(std::ranges::count_if(pair.place, [&](int64_t i) { return i + 1 <= most; }));
  for (size_t b = 0; b < weights.size(); ++b)
    if (pair.place[b] + 1 <= most)
      weights[b] =
          loss_weight(high[b], {.weighting = Weighting::edm, .sigma_data = sigma_data}) * static_cast<double>(weights.size()) / selected;
  Tensor w = to(to(from_vector(weights), compute_dtype(answer.dtype())), answer.device());
  return w * mean(flatten(square(answer - pair.clean), 1), {1});
}

Tensor consistency_losses(const NoisePair& pair, const Denoiser& student, const Denoiser& target, ConsistencyMetric metric, double c) {
  auto [u, v] = consistency_answers(pair, student, target);
  return pair.weight * consistency_distances(metric, u, v, c);
}

}  // namespace plumb::diffusion
