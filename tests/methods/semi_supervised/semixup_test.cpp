// Semixup: worked examples A, B and C, what cancels when, gradients into both sides, and the experiment.
#include <doctest/doctest.h>

#include <cmath>
#include <map>

#include "methods/common/small_cnn.h"
#include "methods/runner.h"
#include "methods/semi_supervised/semixup/semixup.h"
#include "ops/gradcheck.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

using namespace plumb;
using namespace plumb::methods;
using namespace plumb::methods::semixup;

namespace plumb::methods::semixup {
Experiment experiment();
}

namespace {

Tensor z_logits() { return tensor({{2.0, 0.0, -1.0}, {0.0, 1.0, .5}}, f64); }
Tensor z_swapped() { return tensor({{0.0, 1.0, .5}, {2.0, 0.0, -1.0}}, f64); }
Tensor z_augmented() { return tensor({{1.5, .5, -1.0}, {.2, .8, 0.0}}, f64); }
Tensor z_mixed() { return tensor({{1.0, .4, -.2}, {.5, .9, .1}}, f64); }
Logits example() { return {z_logits(), z_swapped(), z_augmented(), z_mixed()}; }

// One linear layer: no dropout, no norm.
struct Plain : nn::Module {
  nn::Linear fc{this, "fc", 4, 3};
  mutable int64_t rows = 0;
  Tensor operator()(const Tensor& images) const {
    rows = images.size(0);
    return fc(flatten(images, 1));
  }
};

SemiBatch batch_of(Generator& g, int64_t unlabelled = 4) {
  SemiBatch b;
  b.labelled = rand({3, 1, 2, 2}, {.generator = &g});
  b.labels = tensor({0, 1, 2});
  b.weak = rand({unlabelled, 1, 2, 2}, {.generator = &g});
  return b;
}

Tensor same(const Tensor& images, Generator&) { return images; }
Tensor darker(const Tensor& images, Generator&) { return images * 0.5; }

}  // namespace

TEST_CASE("semixup: worked example A, the four consistencies and their sum") {
  Parts p = semixup_loss(example(), .7);
  CHECK(p.in.item() == doctest::Approx(.00967496).epsilon(1e-6));
  CHECK(p.interpolated.item() == doctest::Approx(.00584881).epsilon(1e-6));
  CHECK(p.out_mixed.item() == doctest::Approx(.0278326).epsilon(2e-6));
  CHECK(p.out_augmented.item() == doctest::Approx(.00634666).epsilon(1e-6));
  CHECK(p.total.item() == doctest::Approx(.111104).epsilon(5e-6));
  Tensor probabilities = .7 * softmax(z_logits(), 1) + .3 * softmax(z_swapped(), 1), away = softmax(z_mixed(), 1) - probabilities;
  CHECK(mean(away * away).item() == doctest::Approx(.00479985).epsilon(2e-6));  // what interpolated probabilities would give
}

TEST_CASE("semixup: worked example B, mixup cross-entropy of the labelled examples") {
  Tensor first = tensor({0, 1}), second = tensor({1, 0});
  auto rows = [](const Tensor& labels) { return to_vector(cross_entropy(z_mixed(), labels, {.reduction = Reduction::none})); };
  CHECK(rows(first)[0] == doctest::Approx(.615189).epsilon(1e-6));
  CHECK(rows(first)[1] == doctest::Approx(.751251).epsilon(1e-6));
  CHECK(rows(second)[0] == doctest::Approx(1.21519).epsilon(4e-6));
  CHECK(rows(second)[1] == doctest::Approx(1.15125).epsilon(4e-6));
  CHECK(mixup_cross_entropy(z_mixed(), first, second, .7).item() == doctest::Approx(.833220).epsilon(1e-6));
}

TEST_CASE("semixup: worked example C, the in-manifold gradient; it goes into both sides and is finite differences'") {
  Tensor a = z_augmented().requires_grad_(), z = z_logits().requires_grad_();
  softmax_mse(a, z).backward();
  const double wanted[6] = {-.0193232, .0177254, .00159778, .00783673, -.00146061, -.00637612};
  auto got = to_vector(a.grad()), other = to_vector(z.grad());
  double same_size = 0;
  for (size_t k = 0; k < 6; ++k) {
    CHECK(std::abs(got[k] - wanted[k]) < 6e-8);
    CHECK(other[k] != 0);
    same_size = std::max(same_size, std::abs(got[k] + other[k]));
  }
  CHECK(same_size > 1e-4);  // equal and opposite in probabilities only
  CHECK(gradcheck([](const std::vector<Tensor>& x) { return std::vector<Tensor>{softmax_mse(x[0], x[1])}; }, {z_augmented(), z_logits()}));
  CHECK(gradcheck(
      [](const std::vector<Tensor>& x) {
        return std::vector<Tensor>{semixup_loss({x[0], x[1], x[2], x[3]}, .7).total};
      },
      {z_logits(), z_swapped(), z_augmented(), z_mixed()}));
}

TEST_CASE("semixup: D is symmetric and within [0, 2/K]") {
  Generator g(1);
  Tensor a = randn({50, 4}, {.dtype = f64, .generator = &g}) * 3.0, b = randn({50, 4}, {.dtype = f64, .generator = &g}) * 3.0;
  CHECK(softmax_mse(a, b).item() == softmax_mse(b, a).item());
  CHECK(softmax_mse(a, a).item() == 0);
  CHECK(softmax_mse(a, b).item() < .5);
  Tensor far = tensor({{1e3, 0.0, 0.0, 0.0}}, f64), other = tensor({{0.0, 1e3, 0.0, 0.0}}, f64);
  CHECK(softmax_mse(far, other).item() == doctest::Approx(.5).epsilon(1e-15));
}

TEST_CASE("semixup: mixing coefficients") {
  CHECK(dominant_share(.3, .55) == .7);
  CHECK(dominant_share(.52, .55) == .55);
  CHECK(dominant_share(.8, .55) == .8);
  Generator g(2);
  double least = 1, most = 0, sum = 0;
  for (int k = 0; k < 2000; ++k) {
    double lambda = sample_mix_coefficient(g, {.75, .75, .55});
    least = std::min(least, lambda), most = std::max(most, lambda), sum += lambda;
  }
  CHECK(least == .55);  // a share of the draws is lifted to it
  CHECK(most <= 1);
  CHECK(most > .98);
  CHECK(sum / 2000 > .75);
  double low = 1;
  for (int k = 0; k < 200; ++k) low = std::min(low, sample_mix_coefficient(g, {.2, .2, -1}));
  CHECK(low < .1);  // as drawn
}

TEST_CASE("semixup: with λ = 1 nothing is interpolated; without augmentation nothing is in the manifold") {
  Tensor z = z_logits();
  Parts whole = semixup_loss({z, z_swapped(), z_augmented(), z}, 1);
  CHECK(whole.interpolated.item() == 0);
  CHECK(whole.out_mixed.item() == 0);
  CHECK(whole.out_augmented.item() > 0);
  CHECK(semixup_loss({z, z_swapped(), z, z_mixed()}, .7).in.item() == 0);
  // The same through a network: λ is lifted to 1, T changes nothing.
  Generator g(3);
  SemiBatch batch = batch_of(g);
  manual_seed(4);
  Plain model;
  Semixup method({.unlabelled = {.75, .75, 1}, .common = {.labelled = {.75, .75, 1}, .augment = same}});
  SemiStep step = method(model, batch, 0);
  CHECK(model.rows == 3 + 4 * 4);
  CHECK(method.parts().total.item() == 0);
  CHECK(step.loss.item() == doctest::Approx(cross_entropy(model(batch.labelled), batch.labels).item()).epsilon(1e-6));
}

TEST_CASE("semixup: without weights the loss is the labelled mixup's; the ablation drops one part each") {
  Generator g(5);
  SemiBatch batch = batch_of(g);
  manual_seed(6);
  Plain model;
  ConsistencyCommon common{.augment = darker, .seed = 7};
  double plain = MixupSupervised(common)(model, batch, 0).loss.item();
  CHECK(Semixup({.weights = {0, 0, 0}, .common = common})(model, batch, 0).loss.item() == plain);
  CHECK(Semixup({.common = common})(model, batch, 0).loss.item() > plain);
  Parts p = semixup_loss(example(), .7);
  auto total = [](Weights w) { return semixup_loss(example(), .7, w).total.item(); };
  double in = 2 * p.in.item(), ic = 4 * p.interpolated.item(), out = 2 * (p.out_mixed.item() + p.out_augmented.item());
  CHECK(total({.drop_in = true}) == doctest::Approx(ic + out).epsilon(1e-12));
  CHECK(total({.drop_interpolated = true}) == doctest::Approx(in + out).epsilon(1e-12));
  CHECK(total({.drop_out = true}) == doctest::Approx(in + ic).epsilon(1e-12));
}

TEST_CASE("semixup: a step through a network is what its views give by hand") {
  Generator g(8);
  SemiBatch batch = batch_of(g, 1);  // one image: its only partner is itself
  manual_seed(9);
  Plain model;
  Semixup method({.common = {.augment = darker, .seed = 10}});
  SemiStep step = method(model, batch, 0);
  Tensor z = model(batch.weak), darkened = model(batch.weak * 0.5);
  CHECK(method.parts().in.item() == doctest::Approx(softmax_mse(darkened, z).item()).epsilon(1e-5));
  CHECK(method.parts().out_augmented.item() == doctest::Approx(softmax_mse(darkened, z).item()).epsilon(1e-5));
  CHECK(std::abs(method.parts().out_mixed.item()) < 1e-12);
  CHECK(to_vector(step.weight) == std::vector<double>{1});
  CHECK(to_vector<int64_t>(step.label) == to_vector<int64_t>(argmax(z, 1)));
  SemiBatch with_strong = batch;
  with_strong.strong = {batch.weak * 0.5};
  CHECK(Semixup({.common = {.seed = 10}})(model, with_strong, 0).loss.item() == doctest::Approx(step.loss.item()).epsilon(1e-6));
}

TEST_CASE("semixup: mistakes are named") {
  CHECK_THROWS_WITH_AS(semixup_loss(example(), 1.2), "semixup: lambda must lie in [0, 1], it is 1.2", ValueError);
  CHECK_THROWS_WITH_AS(semixup_loss(example(), .7, {.in = -1}), "semixup: weights must not be negative: in -1, interpolated 4, out 2",
                       ValueError);
  CHECK_THROWS_WITH_AS(semixup_loss({z_logits(), z_swapped(), z_augmented(), zeros({2, 2}, f64)}, .7),
                       "semixup: logits [2, 3] and [2, 2] differ in shape", ShapeError);
  CHECK_THROWS_WITH_AS(Semixup({.unlabelled = {.75, .75, 1.5}}), "semixup: the least lambda must be at most 1, it is 1.5", ValueError);
  Generator g(11);
  CHECK_THROWS_WITH_AS(sample_mix_coefficient(g, {.75, .75, 1.5}), "sample_mix_coefficient: the least share must be at most 1, it is 1.5",
                       ValueError);
  CHECK_THROWS_WITH_AS(mixup_cross_entropy(z_mixed(), tensor({0, 1}), tensor({1, 0}), -.1),
                       "mixup_cross_entropy: lambda must lie in [0, 1], it is -0.1", ValueError);
  SemiBatch batch = batch_of(g);
  Plain model;
  Semixup without_view;
  CHECK_THROWS_WITH_AS(without_view(model, batch, 0), "consistency: the batch has no second view of its unlabelled examples", ValueError);
  batch.weak = zeros({0, 1, 2, 2});
  CHECK_THROWS_WITH_AS(without_view(model, batch, 0), "consistency: the batch has no unlabelled examples", ValueError);
}

TEST_CASE("semixup: the experiment measures every variant at the smoke budget") {
  Results results = run_experiment({"semi_supervised", "semixup", &semixup::experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == 9);
  std::map<std::string, double> accuracy;
  for (const CellResult& cell : results.cells) {
    CAPTURE(cell.variant);
    for (auto& [name, value] : cell.measured.metrics) {
      CAPTURE(name);
      CHECK(value > 15);  // chance is 10
      if (name == "balanced accuracy, 5 labels a class (%)") accuracy[cell.variant] = value;
    }
  }
  CHECK(accuracy["Semixup"] != accuracy["supervised + mixup"]);
  CHECK(accuracy["Semixup"] != accuracy["Pi-model"]);
}
