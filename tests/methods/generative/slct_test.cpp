// sLCT: its schedule of c, its recipe against iCT's and against differences, and the experiment. Distances, couplings, the low-noise loss,
// standardised latents and norms without scale are checked where they live: tests/models/diffusion and tests/models/nn.
#include <doctest/doctest.h>

#include <cmath>

#include "methods/generative/ict/ict.h"
#include "methods/generative/slct/slct.h"
#include "methods/runner.h"
#include "models/diffusion/time_mlp.h"
#include "models/optim/adam.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::diffusion;

namespace plumb::methods::slct {
Experiment experiment();
}

namespace slct = methods::slct;

TEST_CASE("slct: c on the first grid and after each doubling, worked") {
  CHECK(slct::adaptive_c(11, pseudo_huber_scale(4096)) == doctest::Approx(0.03456).epsilon(1e-5));
  CHECK(slct::adaptive_c(11, 0.03456, 9) == doctest::Approx(0.0302587).epsilon(1e-5));  // what the formula would give there
  for (auto [levels, c] :
       {std::pair{21, 0.0136353}, {41, 0.00614442}, {81, 0.00276883}, {161, 0.00124770}, {321, 0.000562247}, {641, 0.000253363}})
    CHECK(slct::adaptive_c(levels, 0.03456) == doctest::Approx(c).epsilon(1e-5));
  CHECK_THROWS_WITH_AS(slct::adaptive_c(1, 0.03), "adaptive_c: a grid has at least 2 levels, not 1", ValueError);
  CHECK_THROWS_WITH_AS(slct::adaptive_c(11, 0), "adaptive_c: the first c must be positive, it is 0", ValueError);
}

TEST_CASE("slct: the recipe's c changes with the stage, its pairs carry coupled noise, and the low-noise loss its factor") {
  manual_seed(1);
  TimeMlp net({.features = 4, .hidden = {8}});
  ConsistencyRecipe recipe = slct::recipe(1000, 4, {.s1 = 160, .first_c = 0.0346});
  ConsistencyTraining<TimeMlp> training(net, recipe);
  Tensor clean = randn({16, 4});
  CHECK(training.c(training.draw(0, clean)) == 0.0346);
  CHECK(training.c(training.draw(200, clean)) == doctest::Approx(0.0136353).epsilon(1e-5));
  CHECK(training.c(training.draw(999, clean)) == doctest::Approx(0.00124770).epsilon(1e-5));
  CHECK(recipe.low_noise_share == 0.25);
  CHECK(recipe.low_noise_factor == 5);
  CHECK(recipe.pairs.coupling == 128);
  CHECK(slct::recipe(1000, 4096, {.s1 = 160}).c == doctest::Approx(0.03456).epsilon(1e-10));
}

TEST_CASE("slct: with every change taken back a step is iCT's, bit for bit") {
  auto stepped = [](ConsistencyRecipe recipe) {
    manual_seed(3);
    TimeMlp net({.features = 6, .hidden = {16, 16}});
    ConsistencyTraining<TimeMlp> training(net, std::move(recipe));
    optim::Adam adam(net.parameters(), {.lr = 1e-3});
    for (int64_t k = 0; k < 3; ++k) {
      adam.zero_grad();
      mean(training.losses(k * 300, randn({32, 6}))).backward();
      adam.step();
    }
    return net;
  };
  slct::Options back{.s1 = 160, .metric = ConsistencyMetric::pseudo_huber, .adaptive = false, .coupling = 0, .share = 0, .factor = 0};
  TimeMlp ours = stepped(slct::recipe(1000, 6, back)), ict = stepped(methods::ict::improved(1000, 10, 160)),
          full = stepped(slct::recipe(1000, 6, {.s1 = 160}));
  for (size_t i = 0; i < ours.parameters().size(); ++i) CHECK(test::same_bits(ours.parameters()[i], ict.parameters()[i]));
  CHECK_FALSE(test::same_bits(full.parameters()[0], ict.parameters()[0]));
}

TEST_CASE("slct: the whole loss's gradient agrees with differences while the target is frozen") {
  manual_seed(5);
  TimeMlp net({.features = 3, .hidden = {5}});
  net.to(f64);
  ConsistencyRecipe recipe = slct::recipe(1000, 3, {.s1 = 160, .first_c = 0.0346, .coupling = 4, .share = 0.6, .average_from = 0});
  recipe.decay = 1;  // an average that never moves: the frozen target
  ConsistencyTraining<TimeMlp> training(net, recipe);
  NoisePair pair = training.draw(0, test::sample({8, 3}, 2));
  auto loss = [&] { return mean(training.losses(pair)); };
  loss().backward();
  double total = 0;
  for (const Tensor& w : net.parameters()) {
    auto slope = to_vector(w.grad());
    auto* at = static_cast<double*>(w.raw_data());
    for (int64_t i = 0; i < w.numel(); i += 3) {
      double value = at[i], h = 1e-6;
      auto moved = [&](double to) { return at[i] = to, loss().item(); };
      double numeric = (moved(value + h) - moved(value - h)) / (2 * h);
      at[i] = value;
      total += std::abs(numeric);
      CHECK(std::abs(slope[static_cast<size_t>(i)] - numeric) < 1e-5 * std::max(1.0, std::abs(numeric)));
    }
  }
  CHECK(total > 1);
}

TEST_CASE("slct: late in training an average may become the target") {
  manual_seed(6);
  TimeMlp net({.features = 2, .hidden = {4}});
  ConsistencyTraining<TimeMlp> training(net, slct::recipe(1000, 2, {.s1 = 160, .average_from = 900}));
  CHECK(&training.target(899) == &net);
  CHECK(&training.target(900) != &net);
  CHECK(training.decay(900) == 0.9999);
}

TEST_CASE("slct: a loss that is not finite is no step, and is counted") {
  slct::FiniteSteps finite;
  CHECK(finite.learnable(full({}, 1.0)));
  CHECK_FALSE(finite.learnable(full({}, NAN)));
  CHECK_FALSE(finite.learnable(full({}, INFINITY)));
  CHECK(finite.skipped() == 2);
}

TEST_CASE("slct: recipes that cannot be are errors of one line") {
  CHECK_THROWS_WITH_AS(slct::recipe(1000, 4, {.s1 = 160, .share = 1.5}), "slct: share must lie in [0, 1], it is 1.5", ValueError);
  CHECK_THROWS_WITH_AS(slct::recipe(1000, 4, {.s1 = 160, .first_c = -1}), "slct: first_c must be positive, it is -1", ValueError);
  CHECK_THROWS_WITH_AS(slct::recipe(1000, 4, {.s1 = 160, .factor = -1}), "slct: factor must not be negative, it is -1", ValueError);
  TimeMlp net({.features = 4, .hidden = {8}});
  ConsistencyTraining<TimeMlp> training(net, slct::recipe(1000, 4, {.s1 = 160}));
  CHECK_THROWS_WITH_AS(training.losses(0, zeros({0, 4})), "consistency: the batch is empty: [0, 4]", ValueError);
}

TEST_CASE("slct: the experiment runs, and a short training already moves towards the latents") {
  methods::Results results =
      methods::run_experiment({"generative", "slct", &slct::experiment, {}}, {.budget = methods::Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == slct::experiment().variants.size());
  for (const auto& cell : results.cells) {
    CAPTURE(cell.variant);
    for (const auto& [name, value] : cell.measured.metrics) {
      CAPTURE(name);
      CHECK(std::isfinite(value));
    }
    CHECK(cell.measured.metrics[0].second < 8);  // 16 latents of variance 0.25: all samples at 0 score 4
  }
}
