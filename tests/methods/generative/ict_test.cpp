// Improved consistency training: the recipe's worked numbers, why there is no averaged target, sampling, and the experiment.
// What other consistency methods share is checked in tests/models/diffusion: one mask for both branches, no gradient to the target, its
// average.
#include <doctest/doctest.h>

#include <cmath>

#include "methods/generative/ict/ict.h"
#include "methods/runner.h"
#include "models/diffusion/loss.h"
#include "models/diffusion/time_mlp.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "tests/methods/generative/image_form.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::diffusion;

namespace plumb::methods::ict {
Experiment experiment();
void run_on_images(Cell& cell, const ImageProblem& problem, int64_t steps, int64_t batch, int64_t samples);
}  // namespace plumb::methods::ict

namespace ict = methods::ict;

TEST_CASE("ict: the recipe's grid, law and weights on 11 levels, worked") {
  ConsistencyRecipe recipe = ict::improved(400'000);
  PairSampler pairs(recipe.pairs);
  for (auto [step, levels] : {std::pair{0, 11}, {49'999, 11}, {50'000, 21}, {100'000, 41}, {399'999, 1281}})
    CHECK(pairs.levels(step) == levels);
  for (auto [step, levels] : {std::pair{0, 11}, {1600, 21}, {7999, 161}})
    CHECK(PairSampler(ict::improved(8000, 10, 160).pairs).levels(step) == levels);
  for (auto [step, levels] : {std::pair{0, 2}, {1000, 54}, {4000, 107}, {7999, 151}})
    CHECK(PairSampler(ict::original(8000).pairs).levels(step) == levels);
  auto grid = karras_sigmas(11, recipe.pairs.sigma_min, recipe.pairs.sigma_max, recipe.pairs.rho, GridOrder::ascending);
  std::vector<double> levels{0.002, 0.0167208, 0.0850872, 0.318283, 0.965417, 2.51522, 5.83895, 12.3816, 24.4083, 45.3137, 80};
  std::vector<double> law{0.0626330, 0.181737, 0.245501, 0.213494, 0.142446, 0.0806046, 0.0410799, 0.0195801, 0.00894387, 0.00397961};
  std::vector<double> weights{67.9313, 14.6271, 4.28824, 1.54528, 0.645244, 0.300867, 0.152844, 0.0831479, 0.0478345, 0.0288299};
  auto p = lognormal_bin_probabilities(grid, recipe.pairs.mean, recipe.pairs.std);
  double total = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    CHECK(grid[i] == doctest::Approx(levels[i]).epsilon(1e-5));
    CHECK(p[i] == doctest::Approx(law[i]).epsilon(1e-5));
    CHECK(1 / (grid[i + 1] - grid[i]) == doctest::Approx(weights[i]).epsilon(1e-5));
    total += p[i];
  }
  CHECK(total == doctest::Approx(1).epsilon(1e-12));
}

TEST_CASE("ict: the metric is one norm an example over all numbers, with its limits") {
  Tensor u = tensor({{0.3, -0.2, 0.1}, {0.1, 0.2, 0.0}}, f64).requires_grad_(), v = tensor({{0.1, 0.2, 0.0}, {0.1, 0.2, 0.0}}, f64);
  Tensor d = consistency_distances(ConsistencyMetric::pseudo_huber, u, v, 0.03);
  CHECK(to_vector(d)[0] == doctest::Approx(0.429239).epsilon(1e-5));
  CHECK(to_vector(d)[1] == 0);
  sum(d).backward();
  std::vector<double> slope{0.435504, -0.871007, 0.217752, 0, 0, 0}, got = to_vector(u.grad());
  for (size_t i = 0; i < 6; ++i) CHECK(got[i] == doctest::Approx(slope[i]).epsilon(1e-5));
  double length = std::sqrt(0.04 + 0.16 + 0.01);
  CHECK(to_vector(consistency_distances(ConsistencyMetric::pseudo_huber, u, v, 1e-9))[0] == doctest::Approx(length).epsilon(1e-7));
  CHECK(to_vector(consistency_distances(ConsistencyMetric::pseudo_huber, u, v, 1e4))[0] ==
        doctest::Approx(length * length / 2e4).epsilon(1e-4));
}

TEST_CASE("ict: with one point as data, the student's own answer as target leads to the point, an average's gradient diverges") {
  // f(x, σ) = (σ_min/σ) x + (1 − σ_min/σ) θ, σ_min = 0.1, levels 1 and s', data ξ = 0.2, θ = 0.7, squared error
  constexpr double xi = 0.2, low = 1.0, sigma_min = 0.1;
  auto slope = [&](double high, double target_theta) {
    Tensor theta = tensor({0.7}, f64).requires_grad_(), other = tensor({target_theta}, f64);
    auto model = [&](const Tensor& t) -> Denoiser {
      return [&t](const Tensor& x, const Tensor& s) {
        Tensor share = per_example(sigma_min / s, x);
        return share * x + (1 - share) * t;
      };
    };
    manual_seed(1);
    Tensor z = randn({5, 1}, {.dtype = f64}), x = full({5, 1}, xi, f64);
    NoisePair pair{x + high * z, full({5}, high, f64), x + low * z, full({5}, low, f64), ones({5}, f64)};
    Tensor losses = consistency_losses(pair, model(theta), model(target_theta == 0.7 ? theta : other), ConsistencyMetric::mean_square);
    CHECK(max(losses).item() - min(losses).item() < 1e-12);  // the noise cancels
    mean(losses).backward();
    return theta.grad().item();
  };
  CHECK(slope(1.2, 0.7) == doctest::Approx(0.0152778).epsilon(1e-5));
  CHECK(slope(1.2, 0.7) / 0.2 == doctest::Approx(0.0763889).epsilon(1e-5));
  CHECK(slope(1 + 1e-5, 0.7) / 1e-5 == doctest::Approx(0.09).epsilon(1e-3));
  CHECK(slope(1.2, 0.6) == doctest::Approx(0.180278).epsilon(1e-5));
  CHECK(slope(1.2, 0.6) / 0.2 == doctest::Approx(0.901389).epsilon(1e-5));
  CHECK(slope(1.1, 0.6) / 0.1 == doctest::Approx(2 * 0.901389).epsilon(0.1));
  CHECK(slope(1.05, 0.6) / 0.05 == doctest::Approx(4 * 0.901389).epsilon(0.1));
}

TEST_CASE("ict: any network is the identity at sigma_min, bit for bit, and the scalings are the worked ones") {
  manual_seed(2);
  TimeMlp network({.features = 6, .hidden = {8}});
  ConsistencyTraining<TimeMlp> training(network, ict::improved(8000, 10, 160));
  Tensor x = randn({4, 6});
  CHECK(test::same_bits(training.denoiser(network)(x, full({4}, 0.002)), x));
  CHECK_FALSE(test::same_bits(training.denoiser(network)(x, full({4}, 0.003)), x));
  ConsistencyPrecondition p;
  Scalings half = p.at(0.5), most = p.at(80), least = p.at(0.002);
  CHECK(least.skip == 1);
  CHECK(least.out == 0);
  CHECK(least.in == doctest::Approx(1.99998).epsilon(1e-5));
  CHECK(half.skip == doctest::Approx(0.502004).epsilon(1e-5));
  CHECK(half.out == doctest::Approx(0.352139).epsilon(1e-5));
  CHECK(half.in == doctest::Approx(1.41421).epsilon(1e-5));
  CHECK(half.noise == doctest::Approx(-0.173287).epsilon(1e-5));
  CHECK(most.skip == doctest::Approx(3.90629e-05).epsilon(1e-5));
  CHECK(most.out == doctest::Approx(0.499978).epsilon(1e-5));
  CHECK(most.in == doctest::Approx(0.0124998).epsilon(1e-5));
  CHECK(most.noise == doctest::Approx(1.09551).epsilon(1e-5));
}

TEST_CASE("ict: the target is the student itself; the original's is an average whose decay grows with the grid") {
  TimeMlp network({.features = 2, .hidden = {4}});
  ConsistencyTraining<TimeMlp> improved(network, ict::improved(8000, 10, 160)), original(network, ict::original(8000));
  CHECK(&improved.target() == &network);
  CHECK(&original.target() != &network);
  CHECK(original.decay(0) == doctest::Approx(0.9));  // exp(2 ln 0.9 / 2)
  CHECK(original.decay(7999) == doctest::Approx(std::pow(0.9, 2.0 / 151)));
}

TEST_CASE("ict: sampling starts at sigma_max, adds noise down to each level, and keeps the data's range") {
  std::vector<std::pair<double, double>> seen;  // level, deviation of what the model was shown
  Denoiser model = [&](const Tensor& x, const Tensor& sigma) {
    seen.emplace_back(sigma.numel() ? to_vector(sigma)[0] : 0, std::sqrt(mean(square(x)).item()));
    return zeros(x.shape());
  };
  Generator g(1);
  ict::sample(model, {4000, 2}, {.levels = {0.821}, .sigma_min = 0.5, .generator = &g});
  REQUIRE(seen.size() == 2);
  CHECK(seen[0].first == 80);
  CHECK(seen[0].second == doctest::Approx(80).epsilon(0.04));
  CHECK(seen[1].first == doctest::Approx(0.821).epsilon(1e-6));
  CHECK(seen[1].second == doctest::Approx(std::sqrt(0.821 * 0.821 - 0.25)).epsilon(0.04));
  Denoiser large = [](const Tensor& x, const Tensor&) { return full(x.shape(), 7.0); };
  for (double v : to_vector(ict::sample(large, {3, 1}, {.low = -1, .high = 1}))) CHECK(v == 1);
  CHECK_THROWS_WITH_AS(ict::sample(large, {3, 1}, {.levels = {0.001}}), "sample: levels must lie above sigma_min 0.002, one is 0.001",
                       ValueError);
  CHECK_THROWS_WITH_AS(ict::sample(large, {3, 1}, {.levels = {90}}),
                       "sample: noise levels must descend to 0 at least, 80 is followed by 90", ValueError);
}

TEST_CASE("ict: recipes that cannot be are errors of one line") {
  CHECK_THROWS_WITH_AS(ict::improved(8000, 20, 10), "consistency: needs 1 <= s0 <= s1, got 20 and 10", ValueError);
  CHECK_THROWS_WITH_AS(ict::improved(5), "doubling_grid_size: 5 steps are too few for stages from 10 to 1280 intervals", ValueError);
  CHECK_THROWS_WITH_AS(karras_sigmas(1), "karras_sigmas: a grid has at least 2 levels, 1 asked for", ValueError);
  CHECK_THROWS_AS(ict::original(8000, 1), ValueError);
}

TEST_CASE("ict: the experiment runs, and even a short training tells data from noise") {
  methods::Results results =
      methods::run_experiment({"generative", "ict", &ict::experiment, {}}, {.budget = methods::Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == ict::experiment().variants.size());
  for (const auto& cell : results.cells) {
    CAPTURE(cell.variant);
    for (const auto& [name, value] : cell.measured.metrics) CHECK(std::isfinite(value));
    // untrained, c_out F + c_skip x at σ_max = 80: samples of deviation below 0.1 about the mean grey
    CHECK(cell.measured.metrics[0].second < 100);
  }
  CHECK(results.cells.back().measured.metrics[0].second < results.cells.front().measured.metrics[0].second);  // iCT against CT
}

TEST_CASE("ict: the full budget's form on images runs with U-Nets") {
  test::check_image_form(ict::experiment(),
                         [](methods::Cell& cell, const methods::ImageProblem& shapes) { ict::run_on_images(cell, shapes, 20, 4, 12); },
                         {"CT", "iCT"});
}
