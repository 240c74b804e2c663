// The Pi-model, interpolation consistency, MixMatch and Mean Teacher, each held against its formula on a network of one layer.
#include <doctest/doctest.h>

#include <cmath>

#include "methods/common/consistency_baselines.h"
#include "models/nn/linear.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

using namespace plumb;
using namespace plumb::methods;

namespace {

struct Plain : nn::Module {
  nn::Linear fc{this, "fc", 4, 3};
  Tensor operator()(const Tensor& images) const { return fc(flatten(images, 1)); }
};

SemiBatch batch_of(uint64_t seed) {
  Generator g(seed);
  SemiBatch b;
  b.labelled = rand({3, 1, 2, 2}, {.generator = &g});
  b.labels = tensor({0, 1, 2});
  b.weak = rand({5, 1, 2, 2}, {.generator = &g});
  b.strong = {rand({5, 1, 2, 2}, {.generator = &g})};
  return b;
}

// No mixing: λ = 1.
ConsistencyCommon unmixed() { return {.labelled = {.75, .75, 1}, .seed = 3}; }

}  // namespace

TEST_CASE("consistency: mixing interpolates with the place that the order names") {
  Tensor x = tensor({{1.0, 2.0}, {3.0, 4.0}, {5.0, 6.0}}), order = tensor({2, 0, 1});
  CHECK(to_vector(mix(x, order, .75)) == std::vector<double>{2, 3, 2.5, 3.5, 4.5, 5.5});
  CHECK_THROWS_WITH_AS(mix(x, tensor({0, 1}), .5), "mix: an order [2] for examples [3, 2]", ShapeError);
  CHECK_THROWS_WITH_AS(mix(x, order, 2), "mix: lambda must lie in [0, 1], it is 2", ValueError);
  CHECK_THROWS_WITH_AS(dominant_share(.5, -1), "dominant_share: the least share must lie in [0, 1], it is -1", ValueError);
  CHECK_THROWS_WITH_AS(softmax_mse(x, zeros({3, 3})), "softmax_mse: logits [3, 2] and [3, 3]", ShapeError);
}

TEST_CASE("consistency: labelled mixtures keep both labels and the same seed mixes alike in every method") {
  SemiBatch batch = batch_of(1);
  Generator g(2), again(2);
  MixedLabelled m = mix_labelled(batch, {.75, .75, .7}, g);
  CHECK(m.lambda >= .7);
  auto second = to_vector<int64_t>(m.second);  // labels are 0, 1, 2: the partner's place
  CHECK(to_vector(m.images) == to_vector(mix(batch.labelled, from_vector(second), m.lambda)));
  CHECK(to_vector(mix_labelled(batch, {.75, .75, .7}, again).images) == to_vector(m.images));
  ConsistencyCommon common{.seed = 9};
  ConsistencyDraws draws(common);
  draws.unlabelled().next_u64();
  Plain model;
  CHECK(draws.labelled(batch).loss(model(ConsistencyDraws(common).labelled(batch).images)).item() ==
        MixupSupervised(common)(model, batch, 0).loss.item());
}

TEST_CASE("consistency: the Pi-model's loss by hand") {
  SemiBatch batch = batch_of(4);
  manual_seed(5);
  Plain model;
  double wanted =
      cross_entropy(model(batch.labelled), batch.labels).item() + 3 * softmax_mse(model(batch.strong[0]), model(batch.weak)).item();
  CHECK(PiModel({.weight = 3, .common = unmixed()})(model, batch, 0).loss.item() == doctest::Approx(wanted).epsilon(1e-6));
  CHECK_THROWS_WITH_AS(PiModel({.weight = -1}), "pi_model: the weight must not be negative, it is -1", ValueError);
}

TEST_CASE("consistency: interpolation costs a linear network's logits nothing, and its weight ramps up") {
  SemiBatch batch = batch_of(6);
  manual_seed(7);
  Plain model;
  double supervised = cross_entropy(model(batch.labelled), batch.labels).item();
  InterpolationConsistency linear({.common = unmixed()});
  CHECK(linear(model, batch, 80).loss.item() == doctest::Approx(supervised).epsilon(1e-6));
  struct Bent : Plain {
    Tensor operator()(const Tensor& images) const { return 4.0 * square(Plain::operator()(images)); }
  } bent;
  auto loss_at = [&](int64_t step) {
    return InterpolationConsistency({.mix = {1, 1, -1}, .weight = 1e4, .common = unmixed()})(bent, batch, step).loss.item() -
           cross_entropy(bent(batch.labelled), batch.labels).item();
  };
  double full = loss_at(80);
  CHECK(full > 0.1);
  CHECK(loss_at(0) == doctest::Approx(full * std::exp(-5.0)).epsilon(0.02));
  CHECK(loss_at(40) == doctest::Approx(full * std::exp(-5 * .25)).epsilon(1e-3));
  CHECK(loss_at(500) == full);
  CHECK_THROWS_WITH_AS(InterpolationConsistency({.ramp = -1}), "interpolation_consistency: a ramp of -1 steps", ValueError);
  batch.weak = {};
  CHECK_THROWS_WITH_AS(linear(model, batch, 0), "interpolation_consistency: the batch has no unlabelled examples", ValueError);
}

TEST_CASE("consistency: MixMatch guesses sharpened means and takes squared errors of the unlabelled rows") {
  Tensor a = tensor({{2.0, 0.0}}, f64), b = tensor({{0.0, 0.0}}, f64);
  double p = (1 / (1 + std::exp(-2.0)) + .5) / 2, sharp = p * p / (p * p + (1 - p) * (1 - p));
  CHECK(to_vector(guessed_labels(a, b, .5))[0] == doctest::Approx(sharp).epsilon(1e-12));
  Tensor logits = tensor({{1.0, 0.0}, {0.0, 2.0}, {0.0, 0.0}}, f64), targets = tensor({{.9, .1}, {.2, .8}, {.7, .3}}, f64);
  double first = -(.9 * std::log(1 / (1 + std::exp(-1.0))) + .1 * std::log(1 / (1 + std::exp(1.0))));
  double q = 1 / (1 + std::exp(2.0));
  double rest = ((q - .2) * (q - .2) * 2 + (.5 - .7) * (.5 - .7) * 2) / 4;
  CHECK(mixmatch_loss(logits, targets, 1, 10).item() == doctest::Approx(first + 10 * rest).epsilon(1e-12));
  CHECK_THROWS_WITH_AS(mixmatch_loss(logits, targets, 3, 1), "mixmatch: logits [3, 2] and targets [3, 2] of 3 labelled examples",
                       ShapeError);
  CHECK_THROWS_WITH_AS(MixMatch({.temperature = 0}), "mixmatch: the temperature must be positive, it is 0", ValueError);
}

TEST_CASE("consistency: MixMatch through a network, without mixing, is its two terms") {
  SemiBatch batch = batch_of(8);
  manual_seed(9);
  Plain model;
  Tensor weak = model(batch.weak).detach(), strong = model(batch.strong[0]).detach(), q = guessed_labels(weak, strong, .5);
  auto squared = [&](const Tensor& z) { return mean(square(softmax(z, 1) - q)).item(); };
  double wanted = cross_entropy(model(batch.labelled), batch.labels).item() + 10 * .5 * (squared(weak) + squared(strong)) / 2;
  MixMatch method({.mix = {.75, .75, 1}, .weight = 10, .ramp = 100});
  SemiStep step = method(model, batch, 50);
  CHECK(step.loss.item() == doctest::Approx(wanted).epsilon(1e-5));
  CHECK(to_vector<int64_t>(step.label) == to_vector<int64_t>(argmax(q, 1)));
  CHECK(MixMatch({.mix = {.75, .75, 0}})(model, batch, 0).loss.item() != doctest::Approx(wanted).epsilon(1e-5));
}

TEST_CASE("consistency: Mean Teacher's targets are the average's, and follow the network a step behind") {
  SemiBatch batch = batch_of(10);
  manual_seed(11);
  Plain model;
  Plain before = model;
  MeanTeacher<Plain> method(model, {.decay = .5, .weight = 2, .ramp = 0});
  auto wanted = [&](const Plain& teacher) {
    return cross_entropy(model(batch.labelled), batch.labels).item() + 2 * softmax_mse(model(batch.strong[0]), teacher(batch.weak)).item();
  };
  CHECK(method(model, batch, 0).loss.item() == doctest::Approx(wanted(before)).epsilon(1e-6));
  {
    NoGrad off;
    for (Tensor p : model.parameters()) copy_data(p * 3.0, p);
  }
  Plain half = model;
  {
    NoGrad off;
    auto from = before.parameters(), to = model.parameters(), mean_of = half.parameters();
    for (size_t k = 0; k < to.size(); ++k) copy_data(0.5 * from[k] + 0.5 * to[k], mean_of[k]);
  }
  SemiStep step = method(model, batch, 1);
  CHECK(step.loss.item() == doctest::Approx(wanted(half)).epsilon(1e-5));
  CHECK_THROWS_WITH_AS(MeanTeacher<Plain>(model, {.weight = -2}), "mean_teacher: the weight must not be negative, it is -2", ValueError);
}
