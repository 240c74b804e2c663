// AdaWAC: worked examples A and B (C is the Dice loss's, tests/models/unet), weights and where gradients go, its baselines, the pairs, the
// scenes, and the experiment.
#include "methods/semi_supervised/adawac/adawac.h"

#include <doctest/doctest.h>

#include <cmath>
#include <map>

#include "engine/data/digits/digits.h"
#include "methods/runner.h"
#include "methods/semi_supervised/adawac/pairs.h"
#include "models/unet/segmentation.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/methods/check_close.h"

using namespace plumb;
using namespace plumb::methods;
using namespace plumb::methods::adawac;

namespace plumb::methods::adawac {
Experiment experiment();
}

namespace {

// Example A's values.
const Tensor& example_ce() {
  static const Tensor x = tensor({1.2, .05, .4}, f64);
  return x;
}
const Tensor& example_dac() {
  static const Tensor x = tensor({.3, .25, .4}, f64);
  return x;
}
PairParts example_parts(double dice = 0) { return {example_ce(), example_dac(), scalar_tensor(dice, f64)}; }
Tensor all_three() { return tensor({0, 1, 2}); }

}  // namespace

TEST_CASE("adawac: worked example A, one and two steps at two rates") {
  SampleWeights slow(3, .5);
  Tensor beta = slow.update(all_three(), example_ce(), example_dac());
  check_close(beta, {.610639, .475021, .5});
  CHECK(adawac_loss(example_parts(), beta, 0).item() == doctest::Approx(.468190).epsilon(2e-6));
  beta = slow.update(all_three(), example_ce(), example_dac());
  check_close(beta, {.710950, .450166, .5});
  CHECK(adawac_loss(example_parts(), beta, 0).item() == doctest::Approx(.499940).epsilon(2e-6));

  SampleWeights fast(3, 2);
  beta = fast.update(all_three(), example_ce(), example_dac());
  check_close(beta, {.858149, .401312, .5});
  CHECK(adawac_loss(example_parts(), beta, 0).item() == doctest::Approx(.547357).epsilon(2e-6));
  beta = fast.update(all_three(), example_ce(), example_dac());
  check_close(beta, {.973403, .310026, .5});
  CHECK(adawac_loss(example_parts(), beta, 0).item() == doctest::Approx(.588019).epsilon(2e-6));
  for (size_t i = 0; i < 3; ++i)
    CHECK(to_vector(beta)[i] ==
          doctest::Approx(1 / (1 + std::exp(-4 * (to_vector(example_ce())[i] - to_vector(example_dac())[i])))).epsilon(1e-12));
  // Example B.
  CHECK(adawac_loss(example_parts(.4), beta, .5).item() == doctest::Approx(.494010).epsilon(2e-6));
}

TEST_CASE("adawac: mirror ascent by hand, on the simplex") {
  SampleWeights weights(3, .7);
  double b1 = .5, b2 = .5;
  for (int t = 0; t < 5; ++t) {
    double ce = .3 + .2 * t, dac = 1.1 - .3 * t;
    b1 *= std::exp(.7 * (ce - dac));
    double total = b1 + b2;
    b1 /= total, b2 /= total;
    Tensor beta = weights.update(tensor({1}), tensor({ce}, f64), tensor({dac}, f64));
    CHECK(beta.item() == doctest::Approx(b1).epsilon(1e-12));
    CHECK(beta.item() >= 0);
    CHECK(beta.item() <= 1);
  }
  check_close(weights.beta(), {.5, b1, .5}, 1e-12);  // the others were not seen
  weights.reset();
  check_close(weights.beta(), {.5, .5, .5}, 1e-15);
}

TEST_CASE("adawac: equal values leave weights alone; a rate of 0 is the plain objective; without agreement the loss takes all") {
  SampleWeights weights(3, 2);
  check_close(weights.update(all_three(), example_ce(), example_ce()), {.5, .5, .5}, 1e-15);
  SampleWeights still(3, 0);
  Tensor beta = still.update(all_three(), example_ce(), example_dac());
  CHECK(adawac_loss(example_parts(), beta, 0).item() == doctest::Approx(mean(0.5 * (example_ce() + example_dac())).item()).epsilon(1e-15));
  for (int t = 0; t < 400; ++t) beta = weights.update(all_three(), example_ce(), zeros({3}, f64));
  for (double b : to_vector(beta)) CHECK(b > 1 - 1e-12);
}

TEST_CASE("adawac: weights stay finite under long one-sided updates, and come back") {
  SampleWeights weights(1, 8);
  Tensor at = tensor({0}), high = tensor({5.0}, f64), low = tensor({0.0}, f64), beta;
  for (int t = 0; t < 100; ++t) beta = weights.update(at, high, low);
  CHECK(beta.item() == 1);
  for (int t = 0; t < 100; ++t) beta = weights.update(at, low, high);
  CHECK(beta.item() == doctest::Approx(.5).epsilon(1e-9));
  for (int t = 0; t < 100; ++t) beta = weights.update(at, low, high);
  CHECK(beta.item() >= 0);
  CHECK(beta.item() < 1e-300);
  Tensor stored = weights.logits();
  SampleWeights resumed(1, 8);
  resumed.set_logits(stored);
  CHECK(to_vector(resumed.logits()) == to_vector(stored));
  CHECK_THROWS_WITH_AS(resumed.set_logits(zeros({2}, f64)), "sample_weights: logits [2] for 1 samples", ShapeError);
}

TEST_CASE("adawac: an image that occurs twice in a batch is moved twice") {
  SampleWeights weights(2, 1);
  Tensor beta = weights.update(tensor({1, 1}), tensor({1.0, 2.0}, f64), tensor({0.0, 0.0}, f64));
  check_close(beta, {1 / (1 + std::exp(-3.0)), 1 / (1 + std::exp(-3.0))}, 1e-12);
}

TEST_CASE("adawac: gradients of maps follow the closed form, opposite for the two views; none reaches the weights") {
  Generator g(1);
  RandomOptions draw{.dtype = f64, .generator = &g};
  Tensor phi1 = randn({2, 3, 2, 2}, draw).requires_grad_(), phi2 = randn({2, 3, 2, 2}, draw).requires_grad_();
  Tensor logits1 = randn({2, 3, 4, 4}, draw).requires_grad_(), logits2 = randn({2, 3, 4, 4}, draw);
  PairBatch batch{zeros({2, 1, 4, 4}, f64), randint(0, 3, {2, 4, 4}, {.dtype = i64, .generator = &g}), zeros({2, 1, 4, 4}, f64),
                  randint(0, 3, {2, 4, 4}, {.dtype = i64, .generator = &g}), tensor({0, 1})};
  double lambda = 1.5, r = .25;
  Tensor beta = tensor({.3, .9}, f64).requires_grad_();
  PairParts parts = parts_of(logits1, logits2, phi1, phi2, batch, lambda);
  check_close(
      parts.ce,
      to_vector(0.5 * (unet::per_sample_cross_entropy(logits1, batch.mask1) + unet::per_sample_cross_entropy(logits2, batch.mask2))),
      1e-12);
  CHECK(parts.dice.item() == doctest::Approx(.5 * (unet::soft_dice_loss_with_logits(logits1, batch.mask1).item() +
                                                   unet::soft_dice_loss_with_logits(logits2, batch.mask2).item()))
                                 .epsilon(1e-12));
  check_close(parts.dac, to_vector(lambda * mean(flatten((phi1 - phi2) * (phi1 - phi2), 1), {1})), 1e-12);
  adawac_loss(parts, beta, r).backward();
  CHECK_FALSE(beta.grad().defined());
  CHECK(logits1.grad().defined());
  Tensor b2 = reshape(tensor({.7, .1}, f64), {2, 1, 1, 1});
  Tensor wanted = (1 - r) * lambda * 2.0 * b2 * (phi1.detach() - phi2.detach()) / (12.0 * 2);
  check_close(phi1.grad(), to_vector(wanted), 1e-9);
  check_close(phi2.grad(), to_vector(-wanted), 1e-9);
  SampleWeights weights(2, 1);
  CHECK_FALSE(weights.update(batch.index, parts.ce, parts.dac).requires_grad());
}

TEST_CASE("adawac: a network's pair gives the same parts as its two views apart") {
  manual_seed(2);
  Generator g(2);
  unet::SegmentationUnet net({.in_channels = 1, .classes = 3, .width = 4, .depth = 2});
  net.eval();
  PairBatch batch{rand({2, 1, 8, 8}, {.generator = &g}), randint(0, 3, {2, 8, 8}, {.dtype = i64, .generator = &g}),
                  rand({2, 1, 8, 8}, {.generator = &g}), randint(0, 3, {2, 8, 8}, {.dtype = i64, .generator = &g}), tensor({4, 7})};
  PairParts parts = pair_parts(net, batch, 2);
  auto a = net.maps(batch.image1), b = net.maps(batch.image2);
  check_close(parts.dac, to_vector(2.0 * feature_mse(a.deepest, b.deepest)), 1e-6);
  CHECK(parts.ce.shape() == Shape{2});
  PairBatch same = batch;
  same.image2 = same.image1;
  for (double d : to_vector(pair_parts(net, same, 2).dac)) CHECK(d == 0);
}

TEST_CASE("adawac: weights of the batch, by hand, with and without entropy") {
  BatchWeights plain(4, 2);
  Tensor beta = plain.update(tensor({0, 2}), tensor({1.0, .5}, f64));
  double e = std::exp(2 * .5);
  check_close(beta, {e / (e + 1), 1 / (e + 1)}, 1e-12);
  beta = plain.update(tensor({0, 1}), tensor({0.0, 0.0}, f64));  // from e/(e+1) and 1/4
  check_close(beta, {e / (e + 1) / (e / (e + 1) + .25), .25 / (e / (e + 1) + .25)}, 1e-12);
  BatchWeights held(4, 2, .25);
  held.update(tensor({0, 2}), tensor({1.0, .5}, f64));
  beta = held.update(tensor({0, 2}), tensor({0.0, 0.0}, f64));
  double x = std::sqrt(e / (e + 1)), y = std::sqrt(1 / (e + 1));
  check_close(beta, {x / (x + y), y / (x + y)}, 1e-12);
  CHECK_THROWS_WITH_AS(BatchWeights(4, 1, -1), "batch_weights: the entropy's weight must not be negative, it is -1", ValueError);
}

TEST_CASE("adawac: what is trimmed, and the mean of what is kept") {
  Tensor masks = zeros({3, 2, 2}, i64);
  masks.data<int64_t>()[5] = 2;
  CHECK(to_vector(nonempty(masks)) == std::vector<double>{0, 1, 0});
  Tensor ce = tensor({.4, .1, .3, .2}, f64);
  CHECK(to_vector(trim_quantile_mask(ce, .421)) == std::vector<double>{1, 0, 1, 0});  // the quantile is .2263
  CHECK(to_vector(trim_quantile_mask(ce, 1)) == std::vector<double>{0, 0, 0, 0});
  CHECK(kept_mean(ce, tensor({1.0, 0.0, 1.0, 0.0}, f64)).item() == doctest::Approx(.35));
  CHECK(kept_mean(ce, zeros({4}, f64)).item() == 0);
  PairParts parts{ce, tensor({.2, .2, .1, .2}, f64), scalar_tensor(.6, f64)};
  CHECK(trimmed_loss(parts, tensor({1.0, 0.0, 1.0, 0.0}, f64), .5).item() == doctest::Approx(.3 + .5 * .25));
  CHECK(trimmed_loss(parts, zeros({4}, f64), .5).item() == doctest::Approx(.3));
  CHECK_THROWS_WITH_AS(trimmed_loss(parts, zeros({3}, f64), .5), "adawac: cross-entropies [4], agreements [4], weights [3]", ShapeError);
}

TEST_CASE("adawac: pairs are two views of one image with masks of their own, each image once an epoch") {
  Generator g(3);
  Tensor masks = randint(1, 4, {6, 8, 8}, {.dtype = i64, .generator = &g});
  SegmentationSet set{0.25 * to(unsqueeze(masks, 1), f32), masks};
  PairBatcher batches(set, 2, 11), again(set, 2, 11);
  CHECK(batches.batches() == 3);
  std::map<int64_t, int> seen;
  bool different = false;
  for (int b = 0; b < 3; ++b) {
    PairBatch pair = batches.next(), same = again.next();
    for (int64_t i : to_vector<int64_t>(pair.index)) ++seen[i];
    CHECK(to_vector(pair.image1) == to_vector(0.25 * to(unsqueeze(pair.mask1, 1), f32)));
    CHECK(to_vector(pair.image2) == to_vector(0.25 * to(unsqueeze(pair.mask2, 1), f32)));
    different = different || to_vector(pair.mask1) != to_vector(pair.mask2);
    CHECK(to_vector(pair.image2) == to_vector(same.image2));
  }
  CHECK(seen.size() == 6);
  CHECK(different);
  CHECK_THROWS_WITH_AS(PairBatcher(set, 7, 1), "pair_batcher: a batch of 7 of 6 images", ValueError);
  CHECK_THROWS_WITH_AS(PairBatcher({set.images, zeros({6, 8, 9}, i64)}, 2, 1), "pair_batcher: images [6, 1, 8, 8] with masks [6, 8, 9]",
                       ShapeError);
}

TEST_CASE("adawac: scenes hold what their kinds say, masks are where digits are, cut masks miss some of them") {
  auto digits = data::digits().test().batch(359).next();
  Generator one(4), two(4);
  Scenes whole = digit_scenes(60, digits.image, digits.label, {}, one),
         cut = digit_scenes(60, digits.image, digits.label, {.cut = .5}, two);
  CHECK(to_vector(whole.set.images) == to_vector(cut.set.images));
  int counts[3] = {0, 0, 0};
  double density = 0, cut_density = 0;
  for (size_t i = 0; i < 60; ++i) {
    ++counts[static_cast<size_t>(whole.kinds[i])];
    density += whole.density[i];
    cut_density += cut.density[i];
    if (whole.kinds[i] == SceneKind::empty) CHECK(whole.density[i] == 0);
    if (whole.kinds[i] == SceneKind::sparse) CHECK(whole.density[i] <= 64.0 / 1024);
    if (whole.kinds[i] == SceneKind::dense) CHECK(whole.density[i] > 64.0 / 1024);
  }
  for (int c : counts) CHECK(c > 5);
  CHECK(cut_density < .8 * density);
  auto image = to_vector(whole.set.images);
  auto mask = to_vector<int64_t>(whole.set.masks);
  for (size_t k = 0; k < mask.size(); ++k) {
    if (mask[k] != 0) CHECK(image[k] >= .3 * .7 - 1e-6);
    CHECK(image[k] <= 1);
  }
  CHECK(max(whole.set.masks).item<int64_t>() == 2);
}

TEST_CASE("adawac: mistakes are named") {
  SampleWeights weights(3, 1);
  CHECK_THROWS_WITH_AS(weights.update(tensor({0, 3}), ones({2}), ones({2})), "sample_weights: index 3 is outside [0, 3)", IndexError);
  CHECK_THROWS_WITH_AS(weights.update(tensor({0, 1}), ones({2}), ones({3})), "sample_weights: index [2] with values [3]", ShapeError);
  check_close(weights.beta(), {.5, .5, .5}, 1e-15);  // nothing was changed
  CHECK_THROWS_WITH_AS(SampleWeights(3, -1), "sample_weights: eta must not be negative, it is -1", ValueError);
  CHECK_THROWS_WITH_AS(SampleWeights(0, 1), "sample_weights: 0 samples", ValueError);
  CHECK_THROWS_WITH_AS(adawac_loss(example_parts(), ones({3}, f64), 1.5), "adawac: the Dice ratio must lie in [0, 1], it is 1.5",
                       ValueError);
  CHECK_THROWS_WITH_AS(feature_mse(ones({2, 3}), ones({2, 4})), "feature_mse: maps [2, 3] and [2, 4]", ShapeError);
  PairBatch batch{zeros({2, 1, 8, 8}), zeros({2, 8, 8}, i64), zeros({2, 1, 8, 4}), zeros({2, 8, 4}, i64), tensor({0, 1})};
  CHECK_THROWS_WITH_AS(check_pairs(batch), "adawac: views [2, 1, 8, 8] and [2, 1, 8, 4], masks [2, 8, 8] and [2, 8, 4], index [2]",
                       ShapeError);
  unet::SegmentationUnet net({.in_channels = 1, .classes = 3, .width = 4, .depth = 2});
  batch = {zeros({2, 1, 8, 8}), full({2, 8, 8}, 3, i64), zeros({2, 1, 8, 8}), zeros({2, 8, 8}, i64), tensor({0, 1})};
  CHECK_THROWS_WITH_AS(pair_parts(net, batch, 1), "per_sample_cross_entropy: mask label 3 is outside [0, 3)", IndexError);
  batch.mask1 = batch.mask2;
  CHECK_THROWS_WITH_AS(pair_parts(net, batch, -1), "adawac: lambda must not be negative, it is -1", ValueError);
}

TEST_CASE("adawac: the experiment measures every variant at the smoke budget") {
  Results results = run_experiment({"semi_supervised", "adawac", &adawac::experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == 13);
  std::map<std::string, std::map<std::string, double>> m;
  for (const CellResult& cell : results.cells)
    for (auto& [name, value] : cell.measured.metrics) m[cell.variant][name] = value;
  for (auto& [variant, values] : m) {
    CAPTURE(variant);
    CHECK(values["foreground Dice, dense images (%)"] >= 0);
    CHECK(values["foreground Dice, dense images (%)"] <= 100);
    CHECK(std::abs(values["correlation of weight and density"]) <= 1);
  }
  CHECK(m["paired ERM"]["weight of the cross-entropy, dense"] == 1);
  CHECK(m["ACR only"]["weight of the cross-entropy, empty"] == .5);
  CHECK(m["trim-train"]["weight of the cross-entropy, empty"] == 0);
  CHECK(m["pseudo-AdaWAC"]["weight of the cross-entropy, dense"] == 1);
  CHECK(m["pseudo-AdaWAC"]["correlation of weight and density"] > 0);
  CHECK(m["AdaWAC"]["weight of the cross-entropy, dense"] != .5);
}
