// iCT on small digits: against consistency training as first published, and with each of its choices taken back.
#include "methods/experiment.h"

#include "engine/autograd/grad_mode.h"
#include "methods/common/digit_generation.h"
#include "methods/common/digit_oracle.h"
#include "methods/generative/ict/ict.h"
#include "models/optim/adam.h"
#include "models/train/image_grid.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::ict {
namespace {

using namespace diffusion;

constexpr double kSecondLevel = 0.8;

struct Setting {
  int64_t steps, batch, s1, samples;
};

Setting setting(const Cell& cell) {
  return {cell.pick<int64_t>(40, 6000, 100'000), 128, cell.pick<int64_t>(160, 160, 1280), cell.pick<int64_t>(500, 4000, 10'000)};
}

ConsistencyRecipe recipe_of(const Cell& cell, const Setting& s) {
  ConsistencyRecipe old = original(s.steps), recipe = improved(s.steps, 10, s.s1);
  if (cell.is("CT")) return old;
  if (cell.is("CT, no EMA")) old.target = ConsistencyTarget::student;
  if (cell.is("CT, no EMA")) return old;
  if (cell.is("iCT, EMA target")) recipe.target = ConsistencyTarget::average;
  if (cell.is("iCT, squared error")) recipe.metric = ConsistencyMetric::mean_square;
  if (cell.is("iCT, uniform intervals")) recipe.pairs.law = IntervalLaw::uniform;
  if (cell.is("iCT, weight 1")) recipe.pairs.weight = IntervalWeight::one;
  if (cell.is("iCT, old curriculum"))
    recipe.pairs.curriculum = old.pairs.curriculum, recipe.pairs.s0 = old.pairs.s0, recipe.pairs.s1 = old.pairs.s1;
  return recipe;
}

// Samples of the averaged weights with one step and with two, from noise that is the same for all variants of a seed.
class Evaluation {
 public:
  Evaluation(const Cell& cell, const DigitVectors& digits, const ConsistencyTraining<TimeMlp>& training)
      : cell_(cell), digits_(digits), training_(training) {}

  Tensor samples(const TimeMlp& network, int64_t n, std::vector<double> further = {}) const {
    return digits_.clipped(unclipped(network, n, std::move(further)));
  }
  Tensor unclipped(const TimeMlp& network, int64_t n, std::vector<double> further = {}) const {
    Generator noise(cell_.seed() ^ 0x1c7);
    SampleOptions options{.levels = std::move(further), .generator = &noise};
    return sample(training_.denoiser(network), {n, digits_.rows.size(1)}, options, f32, cell_.device());
  }

 private:
  const Cell& cell_;
  const DigitVectors& digits_;
  const ConsistencyTraining<TimeMlp>& training_;
};

void run(Cell& cell) {
  Setting s = setting(cell);
  auto digits = cell.shared("digits", [&] { return DigitVectors(cell.device()); });
  TimeMlp network({.features = digits->rows.size(1)});
  network.to(cell.device());
  ConsistencyTraining<TimeMlp> training(network, recipe_of(cell, s));
  optim::Adam adam(network.parameters(), {.lr = 1e-3});
  optim::Ema<TimeMlp> average(network, {.decay = 0.999, .warmup = true});
  Evaluation evaluation(cell, *digits, training);
  for (int64_t k = 0; k < s.steps; ++k) {
    if (k % 25 == 0) cell.progress(static_cast<double>(k) / static_cast<double>(s.steps));
    Tensor loss = mean(training.losses(k, digits->batch(s.batch)));
    adam.zero_grad();
    loss.backward();
    adam.step();
    training.update(k);
    average.update(network);
    if ((k + 1) % (s.steps / 10) == 0)
      cell.point("Fréchet distance, 1 step", "training step", static_cast<double>(k + 1),
                 digits->frechet_distance(evaluation.samples(average.model, s.samples / 2)));
  }
  cell.metric("FD, 1 step", digits->frechet_distance(evaluation.samples(average.model, s.samples)));
  cell.metric("FD, 2 steps", digits->frechet_distance(evaluation.samples(average.model, s.samples, {kSecondLevel})));
  cell.metric("FD, 1 step, unclipped", digits->frechet_distance(evaluation.unclipped(average.model, s.samples)));
  auto oracle = cell.shared("oracle", [&] { return DigitOracle(*digits, cell.pick<int64_t>(40, 1500, 1500)); });
  DigitDivision division = methods::division(*oracle, evaluation.samples(average.model, s.samples));
  cell.metric("certain digits (%)", 100 * division.certain);
  cell.metric("imbalance of digits (%)", 100 * division.imbalance);
  cell.picture("samples, 1 step", train::image_grid(digits->images(evaluation.samples(average.model, 48)), {.columns = 12}));
  cell.picture("samples, 2 steps",
               train::image_grid(digits->images(evaluation.samples(average.model, 48, {kSecondLevel})), {.columns = 12}));
}

}  // namespace

Experiment experiment() {
  return {.title = "iCT",
          .paper = "Song & Dhariwal, Improved Techniques for Training Consistency Models, ICLR 2024",
          .claim = "Consistency training without a teacher generates digits in one step once six choices are made anew",
          .metrics = {{"FD, 1 step", Better::lower},
                      {"FD, 2 steps", Better::lower},
                      {"FD, 1 step, unclipped", Better::lower},
                      {"certain digits (%)", Better::higher},
                      {"imbalance of digits (%)", Better::lower}},
          .variants = {{"CT", "as first published: averaged target, mean of squares, uniform intervals, weight 1, growing grid"},
                       {"CT, no EMA", "the same, the student its own target"},
                       {"iCT, EMA target", "iCT with an averaged target"},
                       {"iCT, squared error", "iCT with the mean of squares instead of the pseudo-Huber distance"},
                       {"iCT, uniform intervals", "iCT with all intervals alike"},
                       {"iCT, weight 1", "iCT without weights"},
                       {"iCT, old curriculum", "iCT on CT's growing grid"},
                       {"iCT", "all six choices"}},
          .baseline = "CT",
          .method = "iCT",
          .run = run};
}

}  // namespace plumb::methods::ict
