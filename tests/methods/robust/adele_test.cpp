// ADELE: the fit and the onset on the worked examples, the consistency of one pixel, what a correction may change and when, mistakes, and
// the experiment.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "methods/robust/adele/consistency.h"
#include "methods/robust/adele/label_store.h"
#include "methods/robust/adele/onset.h"
#include "methods/robust/adele/scenes.h"
#include "methods/runner.h"
#include "ops/elementary.h"
#include "ops/gradcheck.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"
#include "tests/methods/check_close.h"
#include "tests/methods/measured.h"

using namespace plumb;
using namespace plumb::methods;

namespace plumb::methods::adele {
Experiment experiment();
}

namespace {

std::vector<double> to_places(size_t count) {  // linspace(0, count, count)
  std::vector<double> x;
  for (size_t j = 0; j < count; ++j) x.push_back(static_cast<double>(count) * static_cast<double>(j) / static_cast<double>(count - 1));
  return x;
}

// Logits of one pixel and three classes at three scales: [1, 3, 1, 1] each.
std::vector<Tensor> one_pixel() {
  std::vector<Tensor> out;
  for (const std::vector<double>& z : {std::vector<double>{1, 0, -1}, {2, 0, -1}, {.5, .5, -1}})
    out.push_back(from_vector(z, {1, 3, 1, 1}));
  return out;
}
Tensor third() { return full({3}, 1.0 / 3, f64); }
Tensor truth() { return zeros({1, 1, 1}, i64); }

}  // namespace

TEST_CASE("adele: the saturating curve rises from 0 with a falling slope") {
  for (double b : {.2, .6, 1.0}) {
    adele::Saturation f{.7, b, 3};
    CHECK(f(0) == 0);
    for (double x = .5; x < 20; x += .5) {
      CHECK(f(x) > f(x - .5));
      CHECK(f.slope(x + .5) < f.slope(x));
      CHECK(f.slope(x) == doctest::Approx((f(x + 1e-5) - f(x - 1e-5)) / 2e-5).epsilon(1e-6));
    }
  }
}

TEST_CASE("adele: worked example 1, the curve, its slope's loss, the onset, and the exact fit") {
  adele::Saturation f{.8, .9, 2};
  double values[] = {.314775, .485313, .591347, .659738, .704773};
  for (int x = 1; x <= 5; ++x) CHECK(f(x) == doctest::Approx(values[x - 1]).epsilon(3e-6));
  auto losses = adele::slope_loss(f, 99);
  double wanted[] = {0, .394892, .614725, .748354, .832922, .887753, .923899};
  for (size_t t = 0; t < 7; ++t) CHECK(losses[t] == doctest::Approx(wanted[t]).epsilon(3e-6));
  CHECK(1 + std::count_if(losses.begin(), losses.end(), [](double r) { return r <= .9; }) == 7);
  std::vector<double> y;
  for (double x : to_places(8)) y.push_back(f(x));
  adele::Saturation fitted = adele::fit_training_iou(y);
  CHECK(std::abs(fitted.a - .8) < 1e-5);
  CHECK(std::abs(fitted.b - .9) < 1e-5);
  CHECK(std::abs(fitted.c - 2) < 1e-5);
  // The first jump is above 0.1, so nothing is dropped and the history's onset is the curve's.
  CHECK(adele::memorization_epoch(y, .9, 100) == 7);
}

TEST_CASE("adele: worked example 2, the fit of noisy values") {
  std::vector<double> y{0, .35, .5, .58, .63, .66, .68, .69};
  adele::Saturation f = adele::fit_training_iou(y);
  CHECK(f.a == doctest::Approx(.713082).epsilon(1e-5));
  CHECK(f.b == doctest::Approx(.841180).epsilon(1e-5));
  CHECK(f.c == doctest::Approx(1.66579).epsilon(1e-5));
  auto losses = adele::slope_loss(f, 99);
  CHECK(losses[4] == doctest::Approx(.861910).epsilon(2e-5));
  CHECK(losses[5] == doctest::Approx(.908746).epsilon(2e-5));
  CHECK(adele::memorization_epoch(y, .9, 100) == 6);
}

TEST_CASE("adele: fits keep to their bounds, and exact curves are found from far away") {
  for (const adele::Saturation& f : {adele::Saturation{.5, .3, 7}, {1, 1, 40}, {.9, .6, .4}}) {
    std::vector<double> x = to_places(12), y, sigma(12, 1);
    for (double at : x) y.push_back(f(at));
    adele::Saturation fitted = adele::fit_saturation(x, y, sigma);
    CHECK(fitted.a == doctest::Approx(f.a).epsilon(1e-5));
    CHECK(fitted.b == doctest::Approx(f.b).epsilon(1e-5));
    CHECK(fitted.c == doctest::Approx(f.c).epsilon(2e-5));
  }
  adele::Saturation high = adele::fit_saturation({0, 1, 2, 3, 4}, {0, 3, 3, 3, 3}, {1, 1, 1, 1, 1});
  CHECK(high.a == 1);
  CHECK((high.b > 0 && high.b <= 1 && high.c > 0));
  adele::Saturation none = adele::fit_saturation({0, 1, 2}, {-1, -1, -1}, {1, 1, 1});
  CHECK(none.a == 0);
}

TEST_CASE("adele: a flat beginning is dropped and moves the onset") {
  CHECK(adele::leading_flat({0, .02, .05, .3, .4}) == 2);
  CHECK(adele::leading_flat({0, .3, .35}) == 0);
  CHECK(adele::leading_flat({.1, .1, .1}) == 2);
  std::vector<double> y{0, .35, .5, .58, .63, .66, .68, .69}, late{0, .01, .02};
  for (double v : y) late.push_back(v == 0 ? .03 : v);
  auto early = adele::memorization_epoch(y, .9, 100);
  auto moved = adele::memorization_epoch(late, .9, 100);
  REQUIRE(moved.has_value());
  CHECK(*moved >= *early + 2);
  // A curve that is saturated at once: its slope at 1 underflows or is lost by 2, and the onset is the first entry or the second.
  CHECK(adele::slope_loss({.9, 1, 1e-4}, 10).empty());
  CHECK(adele::memorization_epoch({0, .8, .8, .8, .8, .8}, .9, 50).value() <= 2);
}

TEST_CASE("adele: fewer than three entries after the flat beginning mean not yet") {
  CHECK(!adele::memorization_epoch({}, .9, 100).has_value());
  CHECK(!adele::memorization_epoch({0, .5}, .9, 100).has_value());
  CHECK(!adele::memorization_epoch({0, .01, .02, .03, .3}, .9, 100).has_value());
  CHECK(adele::memorization_epoch({0, .01, .02, .3, .4}, .9, 100).has_value());
}

TEST_CASE("adele: worked example 3, the consistency of one pixel") {
  auto z = one_pixel();
  check_close(adele::scale_mixture(z, third()), {.652951, .269580, .0774694}, 4e-6);
  adele::MultiScaleOptions sure{.rho = .6}, unsure{.rho = .8};
  CHECK(adele::multiscale_consistency(z, third(), truth(), sure).item() == doctest::Approx(.183478).epsilon(4e-6));
  CHECK(adele::multiscale_consistency(z, third(), truth(), unsure).item() == 0);
  double each[] = {.00226473, .0925578, .0886554};
  for (size_t k = 0; k < 3; ++k) {  // Σ p (log p − log q)
    Tensor p = softmax(z[k], 1), q = adele::scale_mixture(z, third());
    CHECK(sum(p * (log_softmax(z[k], 1) - log(q))).item() == doctest::Approx(each[k]).epsilon(6e-6));
  }
  CHECK(adele::multiscale_cross_entropy(z, third(), truth()).item() == doctest::Approx(.407606 + .169846 + .798916).epsilon(3e-6));
  CHECK(adele::multiscale_cross_entropy(z, third(), truth(), {.logit_scale = true}).item() ==
        doctest::Approx(.801978 + .631961 + .958020).epsilon(3e-6));
  double both = adele::multiscale_loss(z, third(), truth(), {.rho = .6, .lambda = 2}).item();
  CHECK(both == doctest::Approx(1.376368 + 2 * .183478).epsilon(3e-6));
  CHECK(adele::multiscale_loss(z, third(), truth(), {.rho = .6, .lambda = 2, .average = true}).item() ==
        doctest::Approx(both / 3).epsilon(1e-12));
}

TEST_CASE("adele: equal logits agree, one scale without consistency is the cross-entropy, and the gradient flows into both sides") {
  Generator g(1);
  Tensor z = randn({2, 4, 3, 5}, {.dtype = f64, .generator = &g}), y = randint(0, 4, {2, 3, 5}, {.dtype = i64, .generator = &g});
  CHECK(std::abs(adele::multiscale_consistency({z, z, z}, third(), y, {.rho = 0}).item()) < 1e-12);
  double plain = cross_entropy(permute(z, {0, 2, 3, 1}), y).item();
  CHECK(adele::multiscale_loss({z}, ones({1}, f64), y, {.lambda = 0}).item() == doctest::Approx(plain).epsilon(1e-12));
  CHECK(adele::multiscale_loss({z, z, z}, third(), y, {.lambda = 0}).item() == doctest::Approx(3 * plain).epsilon(1e-12));
  Tensor other = randn({2, 4, 3, 5}, {.dtype = f64, .generator = &g}), w = tensor({.3, .7}, f64);
  auto loss = [&](const std::vector<Tensor>& x) -> std::vector<Tensor> {
    return {adele::multiscale_loss({x[0], x[1]}, softmax(x[2], 0), y, {.rho = .3, .lambda = .7, .logit_scale = true})};
  };
  CHECK(gradcheck(loss, {z, other, w}).passed);
}

TEST_CASE("adele: whole images count in the consistency, without a say of their ignored pixels, which stay in the mean") {
  // Image 0 is sure at its first pixel, image 1 nowhere.
  Tensor z = from_vector(std::vector<double>{6, .4, 0, 0, .4, .4, 0, 0}, {2, 2, 1, 2});
  Tensor other = from_vector(std::vector<double>{5, 0, 0, 0, 0, 0, 0, 0}, {2, 2, 1, 2});
  Tensor w = full({2}, .5, f64), y = zeros({2, 1, 2}, i64);
  Tensor q = adele::scale_mixture({z, other}, w);
  auto kl = [&](int64_t n, int64_t pixel) {
    double total = 0;
    for (const Tensor& logits : {z, other})
      for (int64_t c = 0; c < 2; ++c) {
        auto at = [&](const Tensor& t) { return select(select(select(select(t, 0, n), 0, c), 0, 0), 0, pixel).item(); };
        double p = at(softmax(logits, 1));
        total += p * std::log(p / at(q));
      }
    return total;
  };
  CHECK(adele::multiscale_consistency({z, other}, w, y).item() == doctest::Approx((kl(0, 0) + kl(0, 1)) / 4).epsilon(1e-10));
  Tensor ignored = slice_assign(y, full({1, 1, 1}, 255, i64), 2, 0, 1);
  CHECK(adele::multiscale_consistency({z, other}, w, ignored).item() == 0);  // its only sure pixel has no say
  // With the other pixel ignored it is as before: the divergence of ignored pixels counts.
  Tensor second = slice_assign(y, full({1, 1, 1}, 255, i64), 2, 1, 2);
  CHECK(adele::multiscale_consistency({z, other}, w, second).item() == doctest::Approx((kl(0, 0) + kl(0, 1)) / 4).epsilon(1e-10));
  // The cross-entropy divides by all pixels.
  double one = cross_entropy(permute(narrow(z, 3, 1, 1), {0, 2, 3, 1}), zeros({2, 1, 1}, i64), {.reduction = Reduction::sum}).item();
  CHECK(adele::multiscale_cross_entropy({z}, ones({1}, f64), ignored).item() == doctest::Approx(one / 4).epsilon(1e-10));
}

TEST_CASE("adele: images and logits are resized to a scale and back") {
  Generator g(2);
  Tensor images = randn({2, 1, 8, 8}, {.generator = &g});
  std::vector<int64_t> seen;
  auto network = [&](const Tensor& x) {
    seen.push_back(x.size(2));
    return x;
  };
  auto z = adele::multiscale_logits(network, images, {.75, 1, 1.5});
  CHECK(seen == std::vector<int64_t>{6, 8, 12});
  for (const Tensor& t : z) CHECK(t.shape() == images.shape());
  CHECK(z[1].same_as(images));
  // Corners fall on corners.
  CHECK(select(select(select(select(z[0], 0, 1), 0, 0), 0, 7), 0, 7).item() ==
        doctest::Approx(select(select(select(select(images, 0, 1), 0, 0), 0, 7), 0, 7).item()).epsilon(1e-5));
  CHECK_THROWS_WITH_AS(adele::multiscale_logits(network, images, {0}), "adele: a scale must be above 0, it is 0", ValueError);
}

TEST_CASE("adele: a correction replaces what it may and nothing else") {
  // Four pixels in a row: background, class 1, class 2, ignored.
  Tensor labels = from_vector(std::vector<int64_t>{0, 1, 2, 255}, {1, 1, 4});
  auto probabilities = [](const std::vector<int64_t>& best, double how) {  // of 4 classes
    std::vector<double> p(16, (1 - how) / 3);
    for (size_t i = 0; i < 4; ++i) p[static_cast<size_t>(best[i]) * 4 + i] = how;
    return from_vector(p, {4, 1, 4});
  };
  auto after = [&](const std::vector<int64_t>& best, const std::vector<int64_t>& corrected, adele::CorrectionOptions o = {},
                   double how = .9) {
    adele::LabelStore store(labels, 4);
    store.correct(0, probabilities(best, how), corrected, o);
    return to_vector<int64_t>(store.labels());
  };
  CHECK(after({1, 0, 1, 1}, {1}) == std::vector<int64_t>{1, 0, 2, 255});  // class 2 is not corrected
  CHECK(after({1, 0, 1, 1}, {1, 2}) == std::vector<int64_t>{1, 0, 1, 255});
  CHECK(after({3, 3, 3, 3}, {1, 2, 3}) == std::vector<int64_t>{0, 1, 2, 255});  // class 3 was not in the image
  CHECK(after({2, 2, 0, 0}, {1}) == std::vector<int64_t>{0, 1, 2, 255});        // class 2 may not come either
  CHECK(after({1, 0, 0, 0}, {3}) == std::vector<int64_t>{0, 1, 2, 255});        // an image without a corrected class
  CHECK(after({1, 0, 1, 1}, {1, 2}, {.tau = 1}, 1) == std::vector<int64_t>{0, 1, 2, 255});
  CHECK(after({1, 0, 1, 1}, {1, 2}, {.tau = .95}) == std::vector<int64_t>{0, 1, 2, 255});
  CHECK(after({1, 0, 1, 1}, {1}, {.any_source = true}) == std::vector<int64_t>{1, 0, 1, 255});
  // Over half of the foreground would go and all be background.
  CHECK(after({0, 0, 0, 0}, {1, 2}, {.protect_foreground = true}) == std::vector<int64_t>{0, 1, 2, 255});
  CHECK(after({0, 0, 0, 0}, {1, 2}) == std::vector<int64_t>{0, 0, 0, 255});
  adele::LabelStore store(labels, 4);
  CHECK(store.correct(0, probabilities({1, 0, 1, 1}, .9), {1, 2}) == 3);
  CHECK(to_vector<int64_t>(store.original()) == std::vector<int64_t>{0, 1, 2, 255});
  store.reset();
  CHECK(to_vector<int64_t>(store.labels()) == std::vector<int64_t>{0, 1, 2, 255});
  CHECK(to_vector<int64_t>(labels) == std::vector<int64_t>{0, 1, 2, 255});
}

TEST_CASE("adele: invariants of a correction by random predictions") {
  Generator g(3);
  Tensor labels = randint(0, 3, {6, 5, 5}, {.dtype = i64, .generator = &g});
  adele::LabelStore store(labels, 5);
  for (int64_t i = 0; i < 6; ++i) store.correct(i, softmax(6 * randn({5, 5, 5}, {.generator = &g}), 0), {2, 4}, {.tau = .6});
  auto before = to_vector<int64_t>(labels), after = to_vector<int64_t>(store.labels());
  int64_t changed = 0;
  for (size_t k = 0; k < before.size(); ++k) {
    if (before[k] == 1) CHECK(after[k] == 1);
    CHECK((after[k] == before[k] || after[k] == 0 || after[k] == 2));
    changed += after[k] != before[k];
  }
  CHECK(changed > 4);
}

TEST_CASE("adele: classes are corrected from their onset on, once in a window") {
  std::vector<double> rising{0, .35, .5, .58, .63, .66, .68, .69};  // onset 6
  adele::OnsetSchedule schedule(3, {.r = .9, .entries = 100, .every = 10, .wait = 1});
  std::vector<std::vector<int64_t>> now;
  for (int e = 1; e <= 24; ++e) {
    double first = e <= 8 ? rising[static_cast<size_t>(e - 1)] : .69 + .0001 * e;
    schedule.record({std::nan(""), first, .01});  // class 2 never leaves its flat beginning
    now.push_back(schedule.due());
  }
  REQUIRE(schedule.onset(1).has_value());
  int64_t onset = *schedule.onset(1);
  CHECK(onset >= 5);
  CHECK(onset <= 10);
  CHECK(!schedule.onset(2).has_value());
  for (int64_t e = 1; e <= 24; ++e) {
    CAPTURE(e);
    bool wanted = e == onset || (e == 10 && onset < 10) || e == 20;
    CHECK(now[static_cast<size_t>(e - 1)] == (wanted ? std::vector<int64_t>{1} : std::vector<int64_t>{}));
  }
  adele::OnsetSchedule always(2, {.entries = 100, .every = 1, .wait = 0});
  int corrections = 0;
  for (double iou : rising) {
    always.record({0, iou});
    corrections += !always.due().empty();
  }
  CHECK(corrections == 8 - *always.onset(1) + 1);
}

TEST_CASE("adele: scenes hold what their masks say") {
  Generator g(4);
  adele::Scenes scenes = adele::make_scenes(40, 32, g);
  CHECK(scenes.images.shape() == Shape{40, 3, 32, 32});
  for (int64_t c = 0; c < 4; ++c) CHECK(sum(scenes.masks == c).item() > 500);
  CHECK(sum(scenes.masks < 0).item() + sum(scenes.masks > 3).item() == 0);
  // Each kind shows in a channel of its own, and in no other.
  auto mean_of = [&](int64_t c, int64_t channel) {
    Tensor at = to(scenes.masks == c, f32);
    return (sum(select(scenes.images, 1, channel) * at) / sum(at)).item();
  };
  double contrast[] = {.45, .35, .25};
  for (int64_t c = 1; c < 4; ++c)
    for (int64_t channel = 0; channel < 3; ++channel)
      CHECK(std::abs(mean_of(c, channel) - mean_of(0, channel) - (channel == c - 1 ? contrast[channel] : 0)) < .04);
}

TEST_CASE("adele: mistakes are named") {
  auto z = one_pixel();
  CHECK_THROWS_WITH_AS(adele::multiscale_loss(z, third(), full({1, 1, 1}, 3, i64)),
                       "adele: label 3 is outside [0, 3) and not 255, which is ignored", IndexError);
  CHECK_THROWS_WITH_AS(adele::multiscale_loss(z, ones({2}, f64), truth()), "adele: weights [2] for 3 scales", ShapeError);
  CHECK_THROWS_WITH_AS(adele::multiscale_loss(z, third(), truth(), {.rho = 1.5}), "adele: rho must lie in [0, 1], it is 1.5", ValueError);
  CHECK_THROWS_WITH_AS(adele::multiscale_loss(z, third(), truth(), {.lambda = -1}), "adele: lambda must not be negative, it is -1",
                       ValueError);
  CHECK_THROWS_WITH_AS(adele::memorization_epoch({0, .5, .6}, 1, 100), "adele: r must lie in (0, 1), it is 1", ValueError);
  CHECK_THROWS_WITH_AS(adele::memorization_epoch({0, std::nan(""), .6}, .9, 100), "adele: an IoU must lie in [0, 1], it is nan",
                       ValueError);
  CHECK_THROWS_WITH_AS(adele::fit_training_iou({0, .5}), "adele: three parameters cannot be fitted to 2 points", ValueError);
  CHECK_THROWS_WITH_AS(adele::LabelStore(full({1, 2, 2}, 4, i64), 4), "adele: label 4 is outside [0, 4) and not 255, which is ignored",
                       IndexError);
  adele::LabelStore store(zeros({1, 2, 2}, i64), 3);
  CHECK_THROWS_WITH_AS(store.correct(1, zeros({3, 2, 2}), {1}), "adele: image 1 is outside [0, 1)", IndexError);
  CHECK_THROWS_WITH_AS(store.correct(0, zeros({3, 2, 2}), {3}), "adele: class 3 to be corrected is outside [1, 3)", IndexError);
  CHECK_THROWS_WITH_AS(store.correct(0, zeros({2, 2, 2}), {1}), "adele: probabilities [2, 2, 2] for 3 classes and labels [2, 2]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(store.correct(0, zeros({3, 2, 2}), {1}, {.tau = 1.1}), "adele: tau must lie in [0, 1], it is 1.1", ValueError);
  CHECK_THROWS_WITH_AS(adele::OnsetSchedule(1), "adele: 1 classes; at least 2 are needed", ValueError);
}

TEST_CASE("adele: the experiment measures every variant at the smoke budget") {
  Results results = run_experiment({"robust", "adele", &adele::experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == 6);
  for (const CellResult& cell : results.cells) {
    CAPTURE(cell.variant);
    double last = measured(results, cell.variant, "test mIoU (%)"), best = measured(results, cell.variant, "test mIoU, best epoch (%)");
    CHECK((last > 0 && last < 95 && last <= best + 1e-9));  // a few steps
    double memorised = measured(results, cell.variant, "corrupted pixels as labelled (%)"),
           right = measured(results, cell.variant, "corrupted pixels as they are (%)");
    CHECK(memorised + right <= 100 + 1e-9);
    double labels = measured(results, cell.variant, "mIoU of labels in use (%)");
    CHECK((labels > 20 && labels < 100));
  }
}

TEST_CASE("adele: scaled sides are rounded to the nearest, and never to nothing") {
  CHECK(adele::resized_to_scale(zeros({1, 1, 5, 4}), 0.7).shape() == Shape{1, 1, 4, 3});
  CHECK(adele::resized_to_scale(zeros({1, 1, 5, 4}), 0.01).shape() == Shape{1, 1, 1, 1});
}
