// iCT on small digits: against consistency training as first published, and with each of its choices taken back. The full budget is the
// same on images of 32 × 32 with U-Nets.
#include "methods/experiment.h"

#include <memory>

#include "engine/autograd/grad_mode.h"
#include "methods/common/digit_generation.h"
#include "methods/common/digit_oracle.h"
#include "methods/common/image_generation.h"
#include "methods/generative/ict/ict.h"
#include "models/optim/adam.h"
#include "models/optim/radam.h"
#include "models/train/image_grid.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::ict {
namespace {

using namespace diffusion;

constexpr double kSecondLevel = 0.8;

struct Setting {
  int64_t steps, batch, s1, samples;
  bool paper = false;  ///< RAdam at 1e-4 and an average of 0.9999, as for U-Nets
};

Setting digit_setting(const Cell& cell) { return {cell.pick<int64_t>(40, 6000, 6000), 128, 160, cell.pick<int64_t>(500, 4000, 4000)}; }
constexpr Setting kImageSetting{100'000, 256, 1280, 10'000, true};

std::unique_ptr<optim::Optimizer> optimizer_of(const Setting& s, const std::vector<Tensor>& parameters) {
  if (s.paper) return std::make_unique<optim::RAdam>(parameters, optim::RAdamOptions{.lr = 1e-4});
  return std::make_unique<optim::Adam>(parameters, optim::AdamOptions{.lr = 1e-3});
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
template <typename Problem>
class Evaluation {
 public:
  using Network = typename Problem::Network;
  Evaluation(const Cell& cell, const Problem& problem, const ConsistencyTraining<Network>& training)
      : cell_(cell), problem_(problem), training_(training) {}

  /// As a picture or a classifier takes them.
  Tensor clipped(const Network& network, int64_t n, std::vector<double> further = {}) const {
    return problem_.clipped(samples(network, n, std::move(further)));
  }
  Tensor samples(const Network& network, int64_t n, std::vector<double> further = {}) const {
    Generator noise(cell_.seed() ^ 0x1c7);
    SampleOptions options{.levels = std::move(further), .generator = &noise};
    return sample(training_.denoiser(network), problem_.shape(n), options, f32, cell_.device());
  }

 private:
  const Cell& cell_;
  const Problem& problem_;
  const ConsistencyTraining<Network>& training_;
};

template <typename Problem, typename Oracle>
void run_on(Cell& cell, const Problem& problem, const Oracle& oracle, const Setting& s) {
  using Network = typename Problem::Network;
  Network network = problem.network();
  ConsistencyTraining<Network> training(network, recipe_of(cell, s));
  auto optimizer = optimizer_of(s, network.parameters());
  optim::Ema<Network> average(network, {.decay = s.paper ? 0.9999 : 0.999, .warmup = true});
  Evaluation<Problem> evaluation(cell, problem, training);
  for (int64_t k = 0; k < s.steps; ++k) {
    if (k % 25 == 0) cell.progress(static_cast<double>(k) / static_cast<double>(s.steps));
    Tensor loss = mean(training.losses(k, problem.batch(s.batch)));
    optimizer->zero_grad();
    loss.backward();
    optimizer->step();
    training.update(k);
    average.update(network);
    if ((k + 1) % (s.steps / 10) == 0)
      cell.point("Fréchet distance, 1 step, clipped", "training step", static_cast<double>(k + 1),
                 problem.frechet_distance(evaluation.clipped(average.model, s.samples / 2)));
  }
  cell.metric("FD, 1 step", problem.frechet_distance(evaluation.samples(average.model, s.samples)));
  cell.metric("FD, 1 step, clipped", problem.frechet_distance(evaluation.clipped(average.model, s.samples)));
  cell.metric("FD, 2 steps, clipped", problem.frechet_distance(evaluation.clipped(average.model, s.samples, {kSecondLevel})));
  DigitDivision division = methods::division(oracle.probabilities(evaluation.clipped(average.model, s.samples)));
  cell.metric("certain digits (%)", 100 * division.certain);
  cell.metric("imbalance of digits (%)", 100 * division.imbalance);
  cell.picture("samples, 1 step", train::image_grid(problem.images(evaluation.clipped(average.model, 48)), {.columns = 12}));
  cell.picture("samples, 2 steps",
               train::image_grid(problem.images(evaluation.clipped(average.model, 48, {kSecondLevel})), {.columns = 12}));
}

void run(Cell& cell) {
  if (cell.budget() == Budget::full) {
    auto images = cell.shared("images", [&] { return ImageProblem({.device = cell.device()}); });
    return run_on(cell, *images, *images, kImageSetting);
  }
  auto digits = cell.shared("digits", [&] { return DigitVectors(cell.device()); });
  auto oracle = cell.shared("oracle", [&] { return DigitOracle(*digits, cell.pick<int64_t>(40, 1500, 1500)); });
  run_on(cell, *digits, *oracle, digit_setting(cell));
}

}  // namespace

void run_on_images(Cell& cell, const ImageProblem& problem, int64_t steps, int64_t batch, int64_t samples) {
  run_on(cell, problem, problem, {steps, batch, 20, samples, true});
}

Experiment experiment() {
  return {.title = "iCT",
          .paper = "Song & Dhariwal, Improved Techniques for Training Consistency Models, ICLR 2024",
          .claim = "Consistency training without a teacher generates digits in one step once six choices are made anew",
          .metrics = {{"FD, 1 step", Better::lower},
                      {"FD, 1 step, clipped", Better::lower},
                      {"FD, 2 steps, clipped", Better::lower},
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
          .run = run,
          .follows_device = true};
}

}  // namespace plumb::methods::ict
