// The law's matrix and what is made of it.
#include "methods/finetuning/aioli/aioli.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/data/dataset.h"
#include "engine/data/mixture.h"
#include "models/metrics/correlation.h"
#include "ops/create.h"
#include "ops/linalg.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::aioli {
namespace {

void check_rho(double rho, int64_t groups) {
  if (groups < 2) throw ValueError(fmt::format("aioli: there must be at least 2 groups, there is {}", groups));
  if (!(rho > 0 && rho <= 1)) throw ValueError(fmt::format("aioli: rho must lie in (0, 1], it is {}", rho));
  if (std::abs(rho * static_cast<double>(groups) - 1) < 1e-9)
    throw ValueError(fmt::format("aioli: rho {} is 1/{}: every group would have the same share in every turn", rho, groups));
}

int64_t check_square(const Tensor& a) {
  if (a.rank() != 2 || a.size(0) != a.size(1)) throw ShapeError("aioli: takes a matrix [k, k], got " + to_string(a.shape()));
  return a.size(0);
}

Shares shares_in_turn(size_t groups, size_t turn, double rho) {
  Shares q(groups, (1 - rho) / static_cast<double>(groups - 1));
  q[turn] = rho;
  return q;
}

int64_t law_cost(const AioliOptions& o, int64_t groups) { return o.law_rounds * o.law_steps * groups; }

// p_i w_i / Σ: weights that need not sum to 1 as a mixture.
Shares normalised(const Shares& w) {
  double total = std::accumulate(w.begin(), w.end(), 0.0);
  Shares out = w;
  for (double& x : out) x /= total;
  return out;
}

}  // namespace

Tensor solve_smoothed_mixture(const Tensor& drops, double rho, bool diagonal) {
  int64_t k = check_square(drops);
  check_rho(rho, k);
  Tensor b = to(drops.detach(), f64);
  if (diagonal) return diag_embed(diag(b)) * (1 / rho);
  if (rho == 1) return clone(b);
  double other = (1 - rho) / static_cast<double>(k - 1);
  Tensor q = eye(k, -1, f64) * (rho - other) + other;
  return clone(mT(solve(q, mT(b))));
}

Tensor normalize_law_matrix(const Tensor& law) {
  check_square(law);
  Tensor a = to(law.detach(), f64);
  double least = min(a).item();
  if (least < 0) a = a - least;
  double total = sum(a).item();
  return total > 0 ? a / total : zeros(a.shape(), f64);
}

Shares column_sums(const Tensor& law) {
  check_square(law);
  return to_vector(sum(to(law.detach(), f64), {0}));
}

LearnedLaw learn_parameters(data_mixing::Learner& learner, const Shares& losses, const AioliOptions& o, Generator& generator) {
  auto k = static_cast<size_t>(learner.groups());
  check_rho(o.rho, learner.groups());
  std::vector<double> drops(k * k, 0);
  Shares before = losses;
  for (int64_t turn = 0; turn < o.law_rounds; ++turn)
    for (int64_t group : data::random_order(learner.groups(), generator)) {
      auto m = static_cast<size_t>(group);
      std::vector<int64_t> counts = data::mixture_counts(shares_in_turn(k, m, o.rho), learner.batch());
      for (int64_t s = 0; s < o.law_steps; ++s) learner.step_exact(counts);
      Shares now = learner.validation_losses();
      for (size_t i = 0; i < k; ++i) drops[i * k + m] += (before[i] - now[i]) / static_cast<double>(o.law_rounds);
      before = now;
    }
  return {solve_smoothed_mixture(from_vector(drops, {learner.groups(), learner.groups()}), o.rho, o.diagonal), before};
}

void Aioli::check(const data_mixing::Learner& learner, const data_mixing::LoopOptions& loop) const {
  const AioliOptions& o = options_;
  int64_t k = learner.groups();
  check_rho(o.rho, k);
  if (!std::isfinite(o.eta) || o.eta < 0) throw ValueError(fmt::format("aioli: eta must not be negative, it is {}", o.eta));
  if (o.ema && !(*o.ema >= 0 && *o.ema < 1)) throw ValueError(fmt::format("aioli: ema must lie in [0, 1), it is {}", *o.ema));
  if (o.law_rounds < 1 || o.law_steps < 1)
    throw ValueError(fmt::format("aioli: law_rounds and law_steps must be at least 1, they are {} and {}", o.law_rounds, o.law_steps));
  if (law_cost(o, k) >= loop.round)
    throw ValueError(fmt::format("aioli: estimating the law takes {} steps, a round has {}", law_cost(o, k), loop.round));
  if (!o.start.empty()) data::check_mixture(o.start, k);
  for (size_t m = 0; m < static_cast<size_t>(k); ++m)
    data::mixture_counts(shares_in_turn(static_cast<size_t>(k), m, o.rho), learner.batch());
}

Shares Aioli::choose(const Tensor& law) {
  auto k = static_cast<size_t>(check_square(law));
  Shares start = options_.start.empty() ? Shares(k, 1.0 / static_cast<double>(k)) : options_.start;
  if (weights_.empty()) weights_ = start;
  Tensor a = normalize_law_matrix(law);
  if (sum(a).item() == 0) return normalised(weights_);
  if (!options_.ema) {
    weights_ = data_mixing::exponentiated_gradient_step(weights_, column_sums(a), options_.eta);
    return weights_;
  }
  smoothed_ = smoothed_.defined() ? a * (1 - *options_.ema) + smoothed_ * *options_.ema : a;
  weights_ = data_mixing::exponentiated_gradient_step(start, column_sums(smoothed_), options_.eta);
  return weights_;
}

Shares Aioli::proportions(data_mixing::Learner& learner, const data_mixing::RoundStart& round) {
  LearnedLaw learned = learn_parameters(learner, round.losses, options_, generator_);
  laws_.push_back(learned.law);
  return choose(learned.law);
}

double law_fidelity(const std::vector<Tensor>& laws, const data_mixing::MixingRun& run) {
  if (laws.size() != run.rounds.size()) throw ValueError(fmt::format("aioli: {} laws of {} rounds", laws.size(), run.rounds.size()));
  std::vector<double> predicted, observed;
  for (size_t t = 0; t < laws.size(); ++t) {
    const auto& r = run.rounds[t];
    size_t k = r.proportions.size();
    std::vector<double> a = to_vector(laws[t]);
    for (size_t i = 0; i < k; ++i) {
      double drop = 0;
      for (size_t j = 0; j < k; ++j) drop += a[i * k + j] * r.proportions[j];
      predicted.push_back(drop);
      observed.push_back(r.mixed_before[i] - r.after[i]);
    }
  }
  return pearson_correlation(predicted, observed);
}

}  // namespace plumb::methods::aioli
