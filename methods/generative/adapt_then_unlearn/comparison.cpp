// Original, feedback, adapted pairs and retrained pair are shared by the variants of a seed; each unlearns in its own way.
#include "methods/generative/adapt_then_unlearn/comparison.h"

#include <algorithm>
#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "models/optim/parameters.h"
#include "ops/index.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::adapt_then_unlearn {
namespace {

constexpr double kAdaptationLambda = 100;
// The strongest of each that a search on another seed found to keep the Fréchet distance; the unbounded one needs least.
constexpr double kExponentialGamma = 20, kInverseGamma = 1, kUnboundedGamma = 0.003;
constexpr double kElastic = 10, kPull = 0.001;
constexpr double kExtrapolations[] = {-1, -0.5, 0, 0.25, 0.5, 0.75, 1, 1.5, 2, 3};

int64_t count_undesired(const Problem& problem, const Tensor& samples) { return count_nonzero(problem.undesired(samples)).item<int64_t>(); }

double distance(const Problem& problem, const Tensor& samples) {
  return metrics::frechet_distance(metrics::feature_statistics(problem.features(samples)), problem.without);
}

// The generator of `pair` with other weights.
gan::MlpGan with_weights(const gan::MlpGan& pair, const std::vector<Tensor>& weights) {
  gan::MlpGan result = pair;
  NoGrad off;
  optim::copy(weights, result.generator().parameters());
  return result;
}

// What all ways of unlearning start from.
struct Start {
  Feedback answers;
  std::vector<std::vector<Tensor>> adapted;  // of each stage-1 run the generator's averaged weights
};

Start start(Cell& cell, const Problem& problem, const Pair& original, const Budgets& b) {
  gan::MlpGan averaged = original.average;
  Tensor samples = generated(averaged, b.samples);
  Start result{feedback(samples, problem.undesired(samples)), {}};
  int64_t negatives = result.answers.negative.size(0), part = std::max<int64_t>(negatives * 3 / 5, 1);
  for (int64_t k = 0; k < b.anchors; ++k) {
    cell.progress(0);
    Tensor own = index_select(result.answers.negative, 0, narrow(randperm(negatives), 0, 0, part));
    Pair adapted = adapt_to_negatives(original, own, problem.recipe,
                                      {.steps = b.adapt, .lambda = kAdaptationLambda, .fisher_latents = cell.pick<int64_t>(16, 256, 256)});
    result.adapted.push_back(optim::clone(adapted.average.generator().parameters()));
  }
  return result;
}

// PUL at a few steps of stage 2, and what is read off that curve.
class Progress {
 public:
  Progress(const Problem& problem, const Budgets& b, int64_t before) : problem_(problem), budgets_(b), before_(before) {}
  bool wanted(int64_t step) const {
    int64_t n = budgets_.unlearn;
    return step == n || step * 2 == n || step * 4 == n || step * 8 == n || step * 16 == n || step * 32 == n;
  }
  void measure(Cell& cell, int64_t step, gan::MlpGan& average) {
    Generator random(cell.seed() ^ 0x9a7);
    Tensor samples = generated(average, budgets_.final_samples / 2, random);
    double pul = percentage_of_unlearning(before_ / 2, count_undesired(problem_, samples));
    area_ += (pul + pul_.back()) / 2 * static_cast<double>(step - steps_.back());
    if (pul >= 90 && steps_to_90_ < 0) steps_to_90_ = static_cast<double>(step);
    steps_.push_back(step), pul_.push_back(pul);
    cell.point("PUL, " + problem_.name, "stage-2 step", static_cast<double>(step), pul);
    cell.point("Fréchet distance, " + problem_.name, "stage-2 step", static_cast<double>(step), distance(problem_, samples));
  }
  double area() const { return area_ / static_cast<double>(budgets_.unlearn); }
  double steps_to_90() const { return steps_to_90_ < 0 ? static_cast<double>(budgets_.unlearn) : steps_to_90_; }

 private:
  const Problem& problem_;
  const Budgets& budgets_;
  int64_t before_;
  std::vector<int64_t> steps_{0};
  std::vector<double> pul_{0};
  double area_ = 0, steps_to_90_ = -1;
};

// The s with the smallest Fréchet distance of those that reach PUL 90, else the one with the highest PUL: chosen with knowledge of the
// result.
gan::MlpGan best_extrapolation(Cell& cell, const Problem& problem, const Pair& original, const Start& begin, const Budgets& b,
                               int64_t before) {
  gan::MlpGan averaged = original.average, best = averaged;
  double best_distance = INFINITY, best_pul = -INFINITY;
  for (double s : kExtrapolations) {
    gan::MlpGan moved = with_weights(averaged, extrapolated(averaged.generator().parameters(), begin.adapted, s));
    Generator random(cell.seed() ^ 0x9a7);
    Tensor samples = generated(moved, b.final_samples / 2, random);
    double pul = percentage_of_unlearning(before / 2, count_undesired(problem, samples)), away = distance(problem, samples);
    cell.point("PUL along the extrapolation, " + problem.name, "s", s, pul);
    cell.point("Fréchet distance along the extrapolation, " + problem.name, "s", s, away);
    bool enough = pul >= 90, had_enough = best_pul >= 90;
    if ((enough && (!had_enough || away < best_distance)) || (!enough && !had_enough && pul > best_pul))
      best = moved, best_pul = pul, best_distance = away;
  }
  return best;
}

}  // namespace

std::vector<Variant> variants() {
  return {{"no repulsion", "stage 2 alone: fine-tuning on positive samples (γ = 0)"},
          {"elastic weights", "the same, with EWC to the original weights"},
          {"L2 pull", "the same, with a pull to the original weights"},
          {"CF-1", "the same, the generator's last layer alone"},
          {"extrapolation", "away from the adapted weights without training, the best step"},
          {"retrained", "from the start on real data without the feature: the upper reference, which needs that data"},
          {"NL2", "repulsion −Dist"},
          {"IL2", "repulsion 1/Dist"},
          {"EL2", "repulsion exp(−α Dist), as recommended"}};
}

UnlearningOptions options_of(const std::string& variant, int64_t steps) {
  UnlearningOptions o{.steps = steps, .gamma = 0};
  if (variant == "elastic weights") o.lambda = kElastic;
  if (variant == "L2 pull") o.pull = kPull;
  if (variant == "CF-1") o.last_layers = 1;
  if (variant == "NL2") o.gamma = kUnboundedGamma, o.repulsion.kind = Repulsion::negative_l2;
  if (variant == "IL2") o.gamma = kInverseGamma, o.repulsion.kind = Repulsion::inverse_l2;
  if (variant == "EL2") o.gamma = kExponentialGamma, o.repulsion.kind = Repulsion::exponential_l2;
  return o;
}

Pair trained_pair(Cell& cell, const gan::MlpGanConfig& config, const GanRecipe& recipe, const std::function<Tensor(int64_t n)>& real,
                  int64_t steps) {
  gan::MlpGan untrained(config);
  GanRun<gan::MlpGan> run(Pair{untrained, untrained, {}, {}}, recipe, [&](int64_t) { return real(64); });
  for (int64_t k = 0; k < steps; ++k) {
    if (k % 50 == 0) cell.progress(0);
    run.step(k);
  }
  return run.result();
}

Compared compared(Cell& cell, const Problem& problem, const Pair& original, const Budgets& b, double from, double to) {
  auto begin = cell.shared("start, " + problem.name, [&] { return start(cell, problem, original, b); });
  auto retrained = cell.shared("retrained, " + problem.name,
                               [&] { return trained_pair(cell, problem.config, problem.recipe, problem.real_without, b.pretrain); });
  auto samples_of = [&](const gan::MlpGan& pair, uint64_t salt) {
    gan::MlpGan copy = pair;
    Generator random(cell.seed() ^ salt);
    return generated(copy, b.final_samples, random);
  };
  int64_t before = count_undesired(problem, samples_of(original.average, 0x9a7));
  Compared result{};
  if (cell.is("retrained")) {
    result.samples = samples_of(retrained->average, 0x9a7);
  } else if (cell.is("extrapolation")) {
    result.samples = samples_of(best_extrapolation(cell, problem, original, *begin, b, before), 0x9a7);
  } else {
    Progress along(problem, b, before);
    UnlearningOptions options = options_of(cell.variant(), b.unlearn);
    auto after = [&](int64_t k, gan::MlpGan& average) {
      if (k % 25 == 0) cell.progress(from + (to - from) * static_cast<double>(k) / static_cast<double>(b.unlearn));
      if (along.wanted(k + 1)) along.measure(cell, k + 1, average);
    };
    Pair unlearned = unlearn<gan::MlpGan>(original, begin->answers.positive, begin->adapted, problem.recipe, options, after);
    result.samples = samples_of(unlearned.average, 0x9a7);
    result.area = along.area(), result.steps_to_90 = along.steps_to_90();
  }
  result.pul = percentage_of_unlearning(before, count_undesired(problem, result.samples));
  if (cell.is("retrained") || cell.is("extrapolation")) result.area = result.pul;  // there is no stage 2
  result.frechet = distance(problem, result.samples);
  Tensor reference = samples_of(retrained->average, 0x3e7);
  result.frechet_to_retrained = metrics::frechet_distance(problem.features(result.samples), problem.features(reference));
  return result;
}

}  // namespace plumb::methods::adapt_then_unlearn
