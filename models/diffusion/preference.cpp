// Preference pairs, their errors, and DPO's loss.
#include "models/diffusion/preference.h"

#include <cmath>
#include <string>

#include "ops/activation.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::diffusion {
namespace {

Tensor twice(const Tensor& x) { return cat({x, x}); }

Tensor target_of(Prediction prediction, const Tensor& clean, const Tensor& noise, const Tensor& alpha_bar) {
  switch (prediction) {
    case Prediction::eps: return noise;
    case Prediction::x0: return clean;
    default: return velocity(clean, noise, alpha_bar);
  }
}

}  // namespace

void PreferencePairs::check() const {
  if (preferred.rank() < 2 || preferred.shape() != rejected.shape())
    throw ShapeError("preference_pairs: takes two [B, ..] of one shape, got " + to_string(preferred.shape()) + " and " +
                     to_string(rejected.shape()));
  if (condition.defined() && (condition.rank() < 1 || condition.size(0) != size()))
    throw ShapeError("preference_pairs: conditions " + to_string(condition.shape()) + " for " + std::to_string(size()) + " pairs");
}

PreferencePairs PreferencePairs::at(const Tensor& index) const {
  auto rows = [&](const Tensor& x) { return x.defined() ? index_select(x, 0, to(index, x.device())) : x; };
  return {rows(preferred), rows(rejected), rows(condition)};
}

PreferencePairs preference_pairs(const Tensor& first, const Tensor& second, const Tensor& preference, const Tensor& condition, double flip,
                                 Generator& generator) {
  PreferencePairs given{first, second, condition};
  given.check();
  if (preference.shape() != Shape{given.size()})
    throw ShapeError("preference_pairs: preferences " + to_string(preference.shape()) + " for " + std::to_string(given.size()) + " pairs");
  if (!(flip >= 0 && flip <= 1)) throw ValueError("preference_pairs: flip must lie in [0, 1], it is " + decimal(flip));
  std::vector<int64_t> kept;
  std::vector<float> first_wins;
  std::vector<double> said = to_vector(preference);
  for (size_t i = 0; i < said.size(); ++i) {
    if (said[i] != 0 && said[i] != 0.5 && said[i] != 1)
      throw ValueError("preference_pairs: a preference is 0, 0.5 or 1, one is " + decimal(said[i]));
    if (said[i] == 0.5) continue;
    bool turned = flip > 0 && generator.next_double() < flip;
    kept.push_back(static_cast<int64_t>(i));
    first_wins.push_back((said[i] == 1) != turned ? 1.0f : 0.0f);
  }
  if (kept.empty()) throw ValueError("preference_pairs: no pair is left: all " + std::to_string(said.size()) + " are ties");
  PreferencePairs pairs = given.at(from_vector(kept));
  Tensor wins = per_example(to(from_vector(first_wins), pairs.preferred.device()), pairs.preferred) > 0.5;
  return {where(wins, pairs.preferred, pairs.rejected), where(wins, pairs.rejected, pairs.preferred), pairs.condition};
}

PairNoise shared_noise(const PreferencePairs& pairs, const VpSchedule& schedule, Generator& generator) {
  pairs.check();
  Tensor t = randint(0, schedule.steps(), {pairs.size()}, {.dtype = i64, .generator = &generator});
  return {randn_like(pairs.preferred, &generator), t};
}

PairErrors pair_errors(const TimedNetwork& network, const VpSchedule& schedule, Prediction prediction, const PreferencePairs& pairs,
                       const PairNoise& drawn) {
  pairs.check();
  if (drawn.noise.shape() != pairs.preferred.shape() || drawn.time.shape() != Shape{pairs.size()})
    throw ShapeError("pair_errors: noise " + to_string(drawn.noise.shape()) + " and times " + to_string(drawn.time.shape()) +
                     " for samples " + to_string(pairs.preferred.shape()));
  Tensor clean = cat({pairs.preferred, pairs.rejected}), noise = twice(drawn.noise), time = twice(drawn.time);
  Tensor alpha_bar = to(to(schedule.alpha_bar(time), compute_dtype(clean.dtype())), clean.device());
  Tensor x = to(add_noise(clean, noise, alpha_bar), clean.dtype());
  Tensor answer = network(x, to(time, clean.device()), pairs.condition.defined() ? twice(pairs.condition) : Tensor());
  Tensor target = target_of(prediction, clean, noise, alpha_bar);
  if (answer.shape() != target.shape())
    throw ShapeError("pair_errors: the network answers " + to_string(answer.shape()) + " to " + to_string(target.shape()));
  DType exact = compute_dtype(clean.dtype());
  Tensor errors = mean(flatten(square(to(answer, exact) - to(target, exact)), 1), {1});
  return {narrow(errors, 0, 0, pairs.size()), narrow(errors, 0, pairs.size(), pairs.size())};
}

void check_errors(const char* op, const PairErrors& e) {
  if (e.preferred.rank() != 1 || e.preferred.shape() != e.rejected.shape() || e.preferred.numel() == 0)
    throw ShapeError(std::string(op) + ": takes errors [B] of preferred and rejected samples, got " + to_string(e.preferred.shape()) +
                     " and " + to_string(e.rejected.shape()));
}

Tensor diffusion_dpo_loss(const PairErrors& l, const PairErrors& r, double beta) {
  check_errors("diffusion_dpo_loss", l);
  check_errors("diffusion_dpo_loss", r);
  if (l.preferred.shape() != r.preferred.shape())
    throw ShapeError("diffusion_dpo_loss: errors of " + to_string(l.preferred.shape()) + " and of the reference " +
                     to_string(r.preferred.shape()));
  if (!(beta > 0) || !std::isfinite(beta))
    throw ValueError("diffusion_dpo_loss: beta must be positive and finite, it is " + decimal(beta));
  Tensor bracket = (l.preferred - l.rejected) - (r.preferred - r.rejected).detach();
  return -mean(logsigmoid(bracket * (-0.5 * beta)));
}

double preference_accuracy(const PairErrors& errors) {
  check_errors("preference_accuracy", errors);
  return mean(to(errors.preferred < errors.rejected, f64)).item();
}

}  // namespace plumb::diffusion
