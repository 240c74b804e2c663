// Adapt-then-Unlearn: the card's worked numbers, what each stage starts from and adds, and both experiments.
#include <doctest/doctest.h>

#include <cmath>

#include "methods/generative/adapt_then_unlearn/adapt_then_unlearn.h"
#include "methods/runner.h"
#include "models/gan/losses.h"
#include "models/gan/mlp_gan.h"
#include "models/metrics/frechet.h"
#include "models/optim/parameters.h"
#include "ops/linalg.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/methods/measured.h"

using namespace plumb;

namespace plumb::methods::adapt_then_unlearn {
Experiment experiment();
}
namespace plumb::methods::adapt_then_unlearn_ring {
Experiment experiment();
}

namespace atu = methods::adapt_then_unlearn;

namespace {

using Pair = atu::TrainedGan<gan::MlpGan>;

// A small pair after a few steps, so that its optimisers have moments.
Pair small_pair() {
  manual_seed(1);
  gan::MlpGan untrained({.features = 2, .latent = 3, .hidden = {8, 8}});
  Generator g(2);
  atu::GanRun<gan::MlpGan> run(
      Pair{untrained, untrained, {}, {}}, {},
      [&](int64_t) {
        return randn({16, 2}, {.generator = &g}) + 1.0;
      },
      g);
  for (int64_t k = 0; k < 6; ++k) run.step(k);
  return run.result();
}

std::vector<double> weights(const nn::Module& m) { return to_vector(optim::flatten(m.parameters())); }

Tensor points(int64_t n, uint64_t seed) {
  Generator g(seed);
  return randn({n, 2}, {.generator = &g});
}

}  // namespace

TEST_CASE("adapt-then-unlearn: elastic weights, worked") {
  std::vector<std::vector<double>> gradients{{0.1, -0.2}, {0.3, 0}, {-0.1, 0.4}};
  Tensor theta = tensor({0.5, 2.5}, f64).requires_grad_();
  methods::FisherAccumulator fisher({{"theta", theta}});
  for (const auto& g : gradients) fisher.add(sum(theta * from_vector(g)));
  methods::FisherDiagonal f = fisher.diagonal();
  CHECK(to_vector(f.omega[0])[0] == doctest::Approx(0.0366667).epsilon(1e-5));
  CHECK(to_vector(f.omega[0])[1] == doctest::Approx(0.0666667).epsilon(1e-5));
  methods::QuadraticAnchor elastic({{"theta", theta}}, f, 5.0 / 2);
  CHECK(elastic.penalty().item() == 0);
  copy_data(tensor({1.0, 2.0}, f64), theta);
  CHECK(elastic.penalty().item() == doctest::Approx(0.0645833).epsilon(1e-5));
}

TEST_CASE("adapt-then-unlearn: adversarial losses, the penalty on slopes, the Fréchet distance and PUL, worked") {
  Tensor real = tensor({1.2, -0.3}, f64), fake = tensor({-0.5, 0.8}, f64), nothing = zeros({2}, f64);
  CHECK(gan::discriminator_loss(gan::GanLoss::non_saturating, real, fake).item() == doctest::Approx(1.38141).epsilon(1e-5));
  CHECK(gan::generator_loss(gan::GanLoss::non_saturating, fake).item() == doctest::Approx(0.672589).epsilon(1e-5));
  CHECK(gan::discriminator_loss(gan::GanLoss::non_saturating, nothing, nothing).item() ==
        doctest::Approx(2 * std::log(2.0)).epsilon(1e-12));
  CHECK(gan::generator_loss(gan::GanLoss::non_saturating, nothing).item() == doctest::Approx(std::log(2.0)).epsilon(1e-12));

  Tensor w = tensor({0.5, -1.5, 2.0}, f64).requires_grad_(), x = tensor({{1.0, 0.0, 2.0}, {0.3, 0.1, -1.0}}, f64).requires_grad_();
  Tensor penalty = gan::r1_penalty(sum(x * w, {1}), x);
  CHECK(penalty.item() == doctest::Approx(6.5).epsilon(1e-12));
  penalty.backward();
  for (size_t i = 0; i < 3; ++i) CHECK(to_vector(w.grad())[i] == doctest::Approx(2 * to_vector(w)[i]).epsilon(1e-12));

  metrics::FeatureStatistics a{tensor({0.0, 0.0}, f64), tensor({{2.0, 0.5}, {0.5, 1.0}}, f64)},
      b{tensor({1.0, -1.0}, f64), tensor({{1.0, -0.2}, {-0.2, 0.5}}, f64)};
  CHECK(metrics::frechet_distance(a, b) == doctest::Approx(2.45306).epsilon(1e-5));
  CHECK(metrics::frechet_distance(a, a) <= 1e-6);
  CHECK(atu::percentage_of_unlearning(1480, 37) == doctest::Approx(97.5).epsilon(1e-12));
  CHECK_THROWS_WITH_AS(atu::percentage_of_unlearning(0, 3),
                       "percentage_of_unlearning: 0 negative samples before and 3 after; there must be some before", ValueError);
}

TEST_CASE("adapt-then-unlearn: the generator's Fisher diagonal is the mean square of single latents' gradients") {
  Pair pair = small_pair();
  Generator g(3), same(3);
  methods::FisherDiagonal f = atu::generator_fisher(pair.pair, 5, g);
  std::vector<Tensor> parameters = pair.pair.generator().parameters();
  std::vector<double> expected(weights(pair.pair.generator()).size());
  for (int i = 0; i < 5; ++i) {
    pair.pair.zero_grad();
    sum(pair.pair.judge(pair.pair.generate(randn({1, 3}, {.generator = &same}), same))).backward();
    std::vector<double> slope = to_vector(optim::flatten(optim::gradients(parameters)));
    for (size_t j = 0; j < slope.size(); ++j) expected[j] += slope[j] * slope[j] / 5;
  }
  std::vector<double> got = to_vector(optim::flatten(f.omega));
  for (size_t j = 0; j < got.size(); ++j) CHECK(got[j] == doctest::Approx(expected[j]).epsilon(1e-5).scale(1e-6));
  CHECK(f.largest() > 0);
}

TEST_CASE("adapt-then-unlearn: without repulsion stage 2 is plain fine-tuning, bit for bit, from the original weights and moments") {
  Pair original = small_pair();
  std::vector<double> before = weights(original.pair);
  Tensor positives = points(40, 4);
  std::vector<std::vector<Tensor>> anchors{optim::clone(original.average.generator().parameters())};
  Generator g(6), same(6), third(6);
  Pair unlearned = atu::unlearn<gan::MlpGan>(original, positives, anchors, {}, {.steps = 5, .batch = 8, .gamma = 0}, {}, g);
  atu::GanRun<gan::MlpGan> plain(
      original, {}, [&](int64_t) { return atu::detail::draw(positives, 8, same); }, same);
  for (int64_t k = 0; k < 5; ++k) plain.step(k);
  CHECK(weights(unlearned.pair) == weights(plain.result().pair));
  CHECK(weights(unlearned.average) == weights(plain.result().average));
  CHECK(weights(original.pair) == before);  // left as it was
  Pair fresh = original;
  fresh.generator = {}, fresh.discriminator = {};
  Pair without_moments = atu::unlearn<gan::MlpGan>(fresh, positives, anchors, {}, {.steps = 5, .batch = 8, .gamma = 0}, {}, third);
  CHECK(weights(without_moments.pair) != weights(unlearned.pair));
}

TEST_CASE("adapt-then-unlearn: repulsion turns the first step away from the adapted weights, elastic weights keep to the original") {
  Pair original = small_pair();
  Tensor positives = points(40, 7);
  Generator a(8);
  Pair adapted = atu::adapt_to_negatives(original, points(20, 9), {}, {.steps = 10, .batch = 8, .lambda = 0, .fisher_latents = 4}, a);
  std::vector<std::vector<Tensor>> anchors{optim::clone(adapted.average.generator().parameters())};
  std::vector<Tensor> at_start = original.pair.generator().parameters(), away = optim::clone(at_start);
  optim::axpy(-1, anchors[0], away);
  auto trained = [&](const atu::UnlearningOptions& o) {
    Generator g(10);
    return atu::unlearn<gan::MlpGan>(original, positives, anchors, {}, o, {}, g);
  };
  auto step_away = [&](double gamma, methods::Repulsion kind) {  // ⟨θ_1 − θ_G, θ_G − θ_N⟩
    std::vector<Tensor> moved =
        optim::clone(trained({.steps = 1, .batch = 8, .gamma = gamma, .repulsion = {.kind = kind}}).pair.generator().parameters());
    optim::axpy(-1, at_start, moved);
    return optim::dot(moved, away);
  };
  for (methods::Repulsion kind : {methods::Repulsion::negative_l2, methods::Repulsion::inverse_l2, methods::Repulsion::exponential_l2}) {
    CHECK(step_away(20, kind) > 0);
    CHECK(step_away(20, kind) > step_away(0, kind));
  }
  auto from_start = [&](Pair p) { return optim::distance(p.pair.generator().parameters(), at_start); };
  Pair plain = trained({.steps = 20, .batch = 8, .gamma = 0});
  CHECK(from_start(trained({.steps = 20, .batch = 8, .gamma = 0, .lambda = 1e6})) < from_start(plain));
  CHECK(from_start(trained({.steps = 20, .batch = 8, .gamma = 0, .pull = 100})) < from_start(plain));

  // CF-1: the last layer alone
  Pair last = trained({.steps = 20, .batch = 8, .gamma = 0, .last_layers = 1});
  std::vector<Tensor> now = last.pair.generator().parameters();
  for (size_t i = 0; i < now.size(); ++i) CHECK((optim::distance({now[i]}, {at_start[i]}) > 0) == (i + 2 >= now.size()));
}

TEST_CASE("adapt-then-unlearn: extrapolation walks from the original away from the mean of the adapted weights") {
  std::vector<Tensor> theta{tensor({1.0, 2.0}, f64)};
  std::vector<std::vector<Tensor>> adapted{{tensor({2.0, 2.0}, f64)}, {tensor({2.0, 4.0}, f64)}};
  CHECK(to_vector(atu::extrapolated(theta, adapted, 0.5)[0]) == std::vector<double>{0.5, 1.5});
  CHECK(to_vector(atu::extrapolated(theta, adapted, -1)[0]) == std::vector<double>{2, 3});
  CHECK(to_vector(theta[0]) == std::vector<double>{1, 2});
}

TEST_CASE("adapt-then-unlearn: feedback divides samples, and what cannot be is named") {
  Tensor samples = tensor({{1.0, 0.0}, {2.0, 0.0}, {3.0, 0.0}});
  atu::Feedback f = atu::feedback(samples, select(samples, 1, 0) > 1.5);
  CHECK(to_vector(select(f.negative, 1, 0)) == std::vector<double>{2, 3});
  CHECK(to_vector(select(f.positive, 1, 0)) == std::vector<double>{1});
  CHECK_THROWS_WITH_AS(atu::feedback(samples, select(samples, 1, 0) > 5), "feedback: none of 3 samples is negative; draw more", ValueError);
  CHECK_THROWS_WITH_AS(atu::feedback(samples, select(samples, 1, 0) > 0), "feedback: none of 3 samples is positive; draw more", ValueError);
  Pair original = small_pair();
  CHECK_THROWS_WITH_AS(atu::unlearn<gan::MlpGan>(original, samples, {}, {}, {}),
                       "unlearn: there is no adapted generator to be repelled from (K = 0)", ValueError);
  CHECK_THROWS_WITH_AS(atu::unlearn<gan::MlpGan>(original, zeros({0, 2}), {}, {}, {.gamma = 0}),
                       "unlearn: the set of positive samples is empty", ValueError);
  CHECK_THROWS_WITH_AS(atu::adapt_to_negatives(original, zeros({0, 2}), {}, {}), "adapt_to_negatives: the set of negative samples is empty",
                       ValueError);
  CHECK_THROWS_WITH_AS(atu::unlearn<gan::MlpGan>(original, samples, {{zeros({2})}}, {}, {}),
                       "repulsion: anchor 0 has 1 tensors, the parameters 6", ShapeError);
}

TEST_CASE("adapt-then-unlearn: both experiments run") {
  for (auto [slug, experiment] :
       {std::pair{"adapt_then_unlearn", &atu::experiment}, {"adapt_then_unlearn_ring", &methods::adapt_then_unlearn_ring::experiment}}) {
    methods::Results results =
        methods::run_experiment({"generative", slug, experiment, {}}, {.budget = methods::Budget::smoke, .seeds = 1});
    REQUIRE(results.cells.size() == experiment().variants.size());
    for (const auto& cell : results.cells)
      for (const auto& [name, value] : cell.measured.metrics) CHECK_MESSAGE(std::isfinite(value), cell.variant << ": " << name);
    CHECK(measured(results, "extrapolation", "area under PUL (%)") == measured(results, "extrapolation", "PUL (%)"));
    CHECK(measured(results, "EL2", "FD") != measured(results, "no repulsion", "FD"));
  }
}
