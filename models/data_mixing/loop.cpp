// The loop of data mixing: ask the policy, train a round, report.
#include "models/data_mixing/loop.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/core/error.h"
#include "engine/data/mixture.h"

namespace plumb::data_mixing {
namespace {

void check(const Learner& learner, const LoopOptions& o) {
  if (learner.groups() < 2) throw ValueError(fmt::format("data mixing: there must be at least 2 groups, there is {}", learner.groups()));
  if (o.steps < 1 || o.round < 1)
    throw ValueError(fmt::format("data mixing: steps and round must be at least 1, they are {} and {}", o.steps, o.round));
  if (learner.steps() != 0 || learner.planned_steps() != o.steps)
    throw ValueError(fmt::format("data mixing: {} steps with a learner that has made {} and is planned for {}", o.steps, learner.steps(),
                                 learner.planned_steps()));
  if (o.prior_steps < 0 || o.prior_steps > o.steps)
    throw ValueError(fmt::format("data mixing: {} prior steps of {}", o.prior_steps, o.steps));
  if (o.prior_steps > 0) data::check_mixture(o.prior, learner.groups());
  if ((o.steps - o.prior_steps) % o.round != 0)
    throw ValueError(
        fmt::format("data mixing: rounds of {} steps do not divide the {} steps after the prior's", o.round, o.steps - o.prior_steps));
}

RoundRecord run_round(Learner& learner, MixingPolicy& policy, RoundStart start) {
  RoundRecord record{.from = learner.steps(), .to = learner.steps() + start.steps, .before = start.losses};
  record.proportions = policy.proportions(learner, start);
  record.mixed_from = learner.steps();
  if (record.mixed_from >= record.to)
    throw ValueError(fmt::format("data mixing: the policy made {} steps in a round of {}", record.mixed_from - record.from, start.steps));
  data::check_mixture(record.proportions, learner.groups());
  record.mixed_before = record.mixed_from == record.from ? record.before : learner.validation_losses();
  while (learner.steps() < record.to) learner.step(record.proportions);
  record.after = learner.validation_losses();
  return record;
}

}  // namespace

MixingRun train_mixed(Learner& learner, MixingPolicy& policy, const LoopOptions& o, const RoundWatch& watch) {
  check(learner, o);
  policy.check(learner, o);
  MixingRun run;
  run.outside = policy.prepare(learner);
  while (learner.steps() < o.prior_steps) learner.step(o.prior);
  Shares losses = learner.validation_losses();
  for (int64_t t = 0; learner.steps() < o.steps; ++t) {
    run.rounds.push_back(run_round(learner, policy, {t, o.round, losses}));
    losses = run.rounds.back().after;
    if (watch) watch(run.rounds.back());
  }
  return run;
}

double average_perplexity(const Shares& losses) {
  if (losses.empty()) throw ValueError("average_perplexity: there are no losses");
  double total = 0;
  for (double l : losses) total += std::exp(l);
  return total / static_cast<double>(losses.size());
}

Shares exponentiated_gradient_step(const Shares& p, const Shares& gain, double eta) {
  data::check_mixture(p, static_cast<int64_t>(p.size()));
  if (gain.size() != p.size()) throw ValueError(fmt::format("exponentiated_gradient_step: {} gains for {} groups", gain.size(), p.size()));
  if (!std::isfinite(eta)) throw ValueError(fmt::format("exponentiated_gradient_step: eta must be finite, it is {}", eta));
  for (double g : gain)
    if (!std::isfinite(g)) throw ValueError(fmt::format("exponentiated_gradient_step: a gain must be finite, it is {}", g));
  double most = eta * gain[0];
  for (double g : gain) most = std::max(most, eta * g);
  Shares out(p.size());
  double total = 0;
  for (size_t i = 0; i < p.size(); ++i) total += out[i] = p[i] * std::exp(eta * gain[i] - most);
  for (double& x : out) x /= total;
  return out;
}

}  // namespace plumb::data_mixing
