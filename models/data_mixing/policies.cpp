// What each policy looks at.
#include "models/data_mixing/policies.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/core/error.h"
#include "engine/data/mixture.h"
#include "ops/distributions.h"

namespace plumb::data_mixing {
namespace {

Shares uniform(int64_t groups) { return Shares(static_cast<size_t>(groups), 1.0 / static_cast<double>(groups)); }

void check_positive(const char* policy, const char* what, double value) {
  if (!(value > 0) || !std::isfinite(value)) throw ValueError(fmt::format("{}: {} must be positive, it is {}", policy, what, value));
}

void check_size(const char* policy, const Shares& values, size_t groups) {
  if (values.size() != groups) throw ValueError(fmt::format("{}: {} values for {} groups", policy, values.size(), groups));
}

void accumulate(Shares& total, const Shares& p) {
  for (size_t i = 0; i < p.size(); ++i) total[i] += p[i];
}

Shares averaged(const char* policy, const Shares& total, int64_t updates) {
  if (updates == 0) throw ValueError(fmt::format("{}: there is no average before the first step", policy));
  Shares out = total;
  double sum = std::accumulate(out.begin(), out.end(), 0.0);
  for (double& x : out) x /= sum;
  return out;
}

void check_proxy(const char* policy, int64_t steps) {
  if (steps < 1) throw ValueError(fmt::format("{}: a run must have at least 1 step, it has {}", policy, steps));
}

}  // namespace

// -- static --------------------------------------------------------------------------------------------

void StaticMixture::check(const Learner& learner, const LoopOptions&) const {
  if (!p_.empty()) data::check_mixture(p_, learner.groups());
}

Shares StaticMixture::proportions(Learner& learner, const RoundStart&) { return p_.empty() ? uniform(learner.groups()) : p_; }

Shares dirichlet_mixture(int64_t groups, double alpha, Generator& generator) {
  if (groups < 1) throw ValueError(fmt::format("dirichlet_mixture: {} groups", groups));
  check_positive("dirichlet_mixture", "alpha", alpha);
  return to_vector(dirichlet(full({groups}, alpha, f64), &generator));
}

// -- Skill-It --------------------------------------------------------------------------------------------

void SkillIt::check(const Learner& learner, const LoopOptions&) const {
  if (!std::isfinite(options_.eta)) throw ValueError(fmt::format("skill-it: eta must be finite, it is {}", options_.eta));
  if (options_.window < 1) throw ValueError(fmt::format("skill-it: the window must be at least 1, it is {}", options_.window));
  check_proxy("skill-it", options_.graph_steps);
  auto groups = static_cast<size_t>(learner.groups());
  if (graph_.empty()) return;
  check_size("skill-it", Shares(graph_.size()), groups);
  for (const Shares& row : graph_) check_size("skill-it", row, groups);
}

int64_t SkillIt::prepare(const Learner& learner) {
  losses_.clear();
  if (!graph_.empty()) return 0;
  auto groups = static_cast<size_t>(learner.groups());
  Shares start = learner.validation_losses();
  for (size_t i = 0; i < groups; ++i) {
    auto alone = learner.fresh(options_.graph_steps, i + 1);
    Shares p(groups, 0);
    p[i] = 1;
    while (alone->steps() < options_.graph_steps) alone->step(p);
    Shares end = alone->validation_losses(), row(groups);
    for (size_t j = 0; j < groups; ++j) row[j] = (start[j] - end[j]) / start[j];
    graph_.push_back(row);
  }
  return learner.groups() * options_.graph_steps;
}

Shares SkillIt::proportions(Learner& learner, const RoundStart& round) {
  auto groups = static_cast<size_t>(learner.groups());
  losses_.push_back(round.number == 0 ? Shares(groups, 1) : round.losses);
  if (round.number == 1) losses_.pop_front();  // the ones stood for losses that were not known
  while (static_cast<int64_t>(losses_.size()) > options_.window) losses_.pop_front();
  Shares gain(groups, 0);
  for (size_t i = 0; i < groups; ++i)
    for (const Shares& l : losses_)
      for (size_t j = 0; j < groups; ++j) gain[i] += graph_[i][j] * l[j];
  return exponentiated_gradient_step(uniform(learner.groups()), gain, options_.eta);
}

// -- DoReMi ------------------------------------------------------------------------------------------------

DoReMiWeights::DoReMiWeights(int64_t groups, double mu, double smoothing)
    : mu_(mu), smoothing_(smoothing), p_(uniform(std::max<int64_t>(groups, 1))), total_(p_.size(), 0) {
  if (groups < 2) throw ValueError(fmt::format("doremi: there must be at least 2 groups, there is {}", groups));
  check_positive("doremi", "mu", mu);
  if (!(smoothing >= 0 && smoothing <= 1)) throw ValueError(fmt::format("doremi: the smoothing must lie in [0, 1], it is {}", smoothing));
}

const Shares& DoReMiWeights::update(const Shares& losses, const Shares& reference) {
  check_size("doremi", losses, p_.size());
  check_size("doremi", reference, p_.size());
  Shares excess(p_.size());
  for (size_t i = 0; i < p_.size(); ++i) excess[i] = std::max(losses[i] - reference[i], 0.0);
  p_ = exponentiated_gradient_step(p_, excess, mu_);
  for (double& x : p_) x = (1 - smoothing_) * x + smoothing_ / static_cast<double>(p_.size());
  accumulate(total_, p_);
  ++updates_;
  return p_;
}

Shares DoReMiWeights::average() const { return averaged("doremi", total_, updates_); }

void DoReMi::check(const Learner& learner, const LoopOptions&) const {
  [[maybe_unused]] DoReMiWeights accepts(learner.groups(), options_.mu, options_.smoothing);
  check_proxy("doremi", options_.proxy_steps);
}

int64_t DoReMi::prepare(const Learner& learner) {
  auto reference = learner.fresh(options_.proxy_steps, 1), proxy = learner.fresh(options_.proxy_steps, 2);
  Shares even = uniform(learner.groups());
  while (reference->steps() < options_.proxy_steps) reference->step(even);
  DoReMiWeights weights(learner.groups(), options_.mu, options_.smoothing);
  auto update = [&](const Shares& losses, const Shares& of_reference) { return weights.update(losses, of_reference); };
  while (proxy->steps() < options_.proxy_steps) proxy->step_weighted(reference.get(), update);
  p_ = weights.average();
  return 2 * options_.proxy_steps;
}

// -- DoGE ----------------------------------------------------------------------------------------------------

DogeWeights::DogeWeights(int64_t groups, double mu) : mu_(mu), p_(uniform(std::max<int64_t>(groups, 1))), total_(p_.size(), 0) {
  if (groups < 2) throw ValueError(fmt::format("doge: there must be at least 2 groups, there is {}", groups));
  check_positive("doge", "mu", mu);
}

const Shares& DogeWeights::update(const Alignment& a) {
  check_size("doge", a.inner, p_.size());
  check_size("doge", a.norm, p_.size());
  double mean = std::accumulate(a.norm.begin(), a.norm.end(), 0.0) / static_cast<double>(p_.size());
  Shares score(p_.size());
  for (size_t j = 0; j < p_.size(); ++j) score[j] = std::clamp(a.learning_rate * a.inner[j] / (mean + 1e-6), 0.0, 5 * a.learning_rate);
  p_ = exponentiated_gradient_step(p_, score, 1 / mu_);
  accumulate(total_, p_);
  ++updates_;
  return p_;
}

Shares DogeWeights::average() const { return averaged("doge", total_, updates_); }

void Doge::check(const Learner& learner, const LoopOptions&) const {
  [[maybe_unused]] DogeWeights accepts(learner.groups(), options_.mu);
  check_proxy("doge", options_.proxy_steps);
}

int64_t Doge::prepare(const Learner& learner) {
  auto proxy = learner.fresh(options_.proxy_steps, 1);
  DogeWeights weights(learner.groups(), options_.mu);
  while (proxy->steps() < options_.proxy_steps) proxy->step_aligned([&](const Alignment& a) { return weights.update(a); });
  p_ = weights.average();
  return options_.proxy_steps;
}

// -- data mixing laws ------------------------------------------------------------------------------------------

void LawMixture::check(const Learner& learner, const LoopOptions&) const {
  check_proxy("mixing law", options_.run_steps);
  check_positive("mixing law", "alpha", options_.alpha);
  if (options_.runs < learner.groups() + 1)
    throw ValueError(fmt::format("mixing law: {} runs do not determine a law of {} groups; it takes {}", options_.runs, learner.groups(),
                                 learner.groups() + 1));
}

int64_t LawMixture::prepare(const Learner& learner) {
  Generator generator(options_.seed);
  std::vector<Shares> mixtures, losses;
  for (int64_t n = 0; n < options_.runs; ++n) {
    mixtures.push_back(dirichlet_mixture(learner.groups(), options_.alpha, generator));
    auto run = learner.fresh(options_.run_steps, static_cast<uint64_t>(n) + 1);
    while (run->steps() < options_.run_steps) run->step(mixtures.back());
    losses.push_back(run->validation_losses());
  }
  laws_ = fit_mixing_laws(mixtures, losses);
  p_ = best_mixture(laws_);
  return options_.runs * options_.run_steps;
}

}  // namespace plumb::data_mixing
