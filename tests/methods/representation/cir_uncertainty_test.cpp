// MGUR: worked numbers, what is noise and what is not, gradients with the noise held, recall, networks, mistakes, the experiment.
#include "methods/representation/cir_uncertainty/cir_uncertainty.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "engine/autograd/grad_mode.h"
#include "engine/core/error.h"
#include "engine/data/digits/digits.h"
#include "methods/representation/cir_uncertainty/network.h"
#include "methods/representation/cir_uncertainty/tinted_digits.h"
#include "methods/runner.h"
#include "ops/elementary.h"
#include "ops/gradcheck.h"
#include "ops/join.h"
#include "ops/matmul.h"
#include "ops/norm.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;
using namespace plumb::methods;
using namespace plumb::methods::cir_uncertainty;

namespace plumb::methods::cir_uncertainty {
Experiment experiment();
}

namespace {

Tensor queries() { return tensor({{1.0, 0.0, 2.0, -1.0}, {0.0, 1.5, -.5, 1.0}, {-1.0, 1.0, 0.0, .5}}, f64); }
Tensor targets() { return tensor({{.5, -.5, 1.0, 0.0}, {0.0, 1.0, 0.0, 1.0}, {1.0, 1.0, -1.0, 0.0}}, f64); }
Tensor alpha_noise() { return tensor({{.1, -.2, .3, 0.0}, {.5, -.5, 1.0, -1.0}, {0.0, .2, -.1, .4}}, f64); }
Tensor beta_noise() { return tensor({{-.3, .1, .2, 0.0}, {.2, .4, -.6, 0.0}, {1.0, -1.0, .5, -.5}}, f64); }

Tensor jittered(const FeatureJitter& jitter = {}) { return jitter.with(targets(), jitter.sample(targets(), alpha_noise(), beta_noise())); }

void check_close(const Tensor& got, const std::vector<double>& wanted, double tolerance = 3e-6) {
  auto values = to_vector(got);
  REQUIRE(values.size() == wanted.size());
  for (size_t i = 0; i < wanted.size(); ++i) CHECK(std::abs(values[i] - wanted[i]) <= tolerance * (1 + std::abs(wanted[i])));
}

}  // namespace

TEST_CASE("cir_uncertainty: worked number 1, the contrastive loss and the statistics of rows") {
  CHECK(nce(queries(), targets()).item() == doctest::Approx(.771206).epsilon(1e-6));
  check_close(mean(targets(), {1}), {.25, .5, .25});
  check_close(std_dev(targets(), {1}), {.645497, .577350, .957427}, 1e-6);
  check_close(row_norm(targets()),
              {.447206, -1.34162, 1.34162, -.447206, -.999980, .999980, -.999980, .999980, .904528, .904528, -1.50755, -.301509});
}

TEST_CASE("cir_uncertainty: worked number 2, given noise") {
  Tensor a = jittered();
  check_close(a, {.532424, -.853867, 1.98052, -.197206, -.673179, 1.44225, -1.42373, .922641, 2.11195, .370304, -.634496, -.645692});
  CHECK(std_dev(a).item() == doctest::Approx(1.17109).epsilon(3e-6));
  CHECK(nce(queries(), a).item() == doctest::Approx(1.57911).epsilon(3e-6));
  CHECK(uncertainty_loss(queries(), a).item() == doctest::Approx(.830331).epsilon(2e-6));
}

TEST_CASE("cir_uncertainty: worked number 3, from coarse to fine, and without noise") {
  CoarseToFineWeight weight{1, 10};
  CHECK(weight.at(0) == 1);
  CHECK(weight.at(5) == doctest::Approx(.606531).epsilon(1e-6));
  CHECK(weight.at(10) == doctest::Approx(.367879).epsilon(2e-6));
  Tensor a = jittered();
  CHECK(mgur_loss(queries(), targets(), a, weight.at(0)).item() == doctest::Approx(.830331).epsilon(2e-6));
  CHECK(mgur_loss(queries(), targets(), a, weight.at(5)).item() == doctest::Approx(.807067).epsilon(2e-6));
  CHECK(mgur_loss(queries(), targets(), a, weight.at(10)).item() == doctest::Approx(.792957).epsilon(2e-6));
  Tensor still = jittered({.deviation_scale = 0});
  check_close(narrow(still, 0, 0, 1), {.697206, -1.09162, 1.59162, -.197206});
  CHECK(std_dev(still).item() == doctest::Approx(1.05168).epsilon(3e-6));
  check_close(still, to_vector(row_norm(targets()) + mean(targets(), {1}, true)), 1e-14);
}

TEST_CASE("cir_uncertainty: the first epoch is the uncertainty loss exactly, a large gamma0 leaves the fine loss alone after it") {
  Generator first(1), again(1);
  FeatureJitter jitter;
  Tensor coarse = mgur_loss(queries(), targets(), 0, {1, 10}, jitter, first);
  CHECK(coarse.item() == uncertainty_loss(queries(), jitter.apply(targets(), again)).item());
  CHECK(mgur_loss(queries(), targets(), 1, {1e6, 10}, jitter, first).item() == nce(queries(), targets()).item());
  CHECK(first.offset() > again.offset());  // each call drew its own noise
}

TEST_CASE("cir_uncertainty: samples of 1 and 0 give the normalised rows; scales multiply samples, their means included") {
  Tensor n = row_norm(targets());
  check_close(FeatureJitter{}.with(targets(), {ones({3, 4}, f64), zeros({3, 4}, f64)}), to_vector(n), 1e-14);
  check_close(mean(n, {1}), {0, 0, 0}, 1e-12);
  check_close(var(n, {1}, 0), {1, 1, 1}, 5e-5);  // eps against variances of 0.25 and more
  check_close(sum(square(n), {1}), {4, 4, 4}, 5e-5);
  JitterSample plain = FeatureJitter{}.sample(targets(), alpha_noise(), beta_noise());
  JitterSample scaled = FeatureJitter{.alpha_scale = 3, .beta_scale = .5}.sample(targets(), alpha_noise(), beta_noise());
  check_close(scaled.alpha, to_vector(plain.alpha * 3), 1e-14);
  check_close(scaled.beta, to_vector(plain.beta * .5), 1e-14);
  Tensor unit = jittered({.renormalize = 4});
  check_close(norm(unit, 2, {1}), {4, 4, 4}, 1e-12);
}

TEST_CASE("cir_uncertainty: samples have the mean and the deviation of their row, each channel its own") {
  Generator g(2);
  Tensor wide = randn({2, 20'000}, {.dtype = f64, .generator = &g}) * tensor({{.5}, {2.0}}, f64) + tensor({{1.0}, {-3.0}}, f64);
  JitterSample s = FeatureJitter{}.sample(wide, g);
  for (auto [sample, means] : {std::pair{s.alpha, std::vector<double>{1, 1}}, {s.beta, {1, -3}}}) {
    auto mu = to_vector(mean(sample, {1})), deviation = to_vector(std_dev(sample, {1}));
    for (size_t i = 0; i < 2; ++i) {
      double wanted = i == 0 ? .5 : 2;
      CHECK(std::abs(mu[i] - means[i]) < 6 * wanted / std::sqrt(20'000));
      CHECK(std::abs(deviation[i] / wanted - 1) < .05);
    }
  }
  CHECK_FALSE(s.alpha.requires_grad());
}

TEST_CASE("cir_uncertainty: the gradient is that of alpha n(t) + beta with alpha and beta held") {
  JitterSample held = FeatureJitter{}.sample(targets(), alpha_noise(), beta_noise());
  auto loss = [&](const std::vector<Tensor>& x) -> std::vector<Tensor> {
    return {mgur_loss(x[0], x[1], FeatureJitter{}.with(x[1], held), .6)};
  };
  CHECK(gradcheck(loss, {queries(), targets()}).passed);
  // Drawn inside, from a tensor that wants a gradient: the same gradient as with the samples held.
  Tensor inside = clone(targets()).requires_grad_(), outside = clone(targets()).requires_grad_();
  sum(square(FeatureJitter{}.with(inside, FeatureJitter{}.sample(inside, alpha_noise(), beta_noise())))).backward();
  sum(square(FeatureJitter{}.with(outside, held))).backward();
  check_close(inside.grad(), to_vector(outside.grad()), 1e-14);
}

TEST_CASE("cir_uncertainty: limits of the contrastive loss, a constant row, smoothed labels") {
  CHECK(nce(zeros({5, 3}), zeros({5, 3})).item() == doctest::Approx(std::log(5)).epsilon(1e-6));
  CHECK(nce(narrow(queries(), 0, 0, 1), narrow(targets(), 0, 0, 1)).item() == doctest::Approx(0).epsilon(1e-14));
  Tensor constant = full({1, 4}, 2.5, f64);
  JitterSample s = FeatureJitter{}.sample(constant, narrow(alpha_noise(), 0, 0, 1), narrow(beta_noise(), 0, 0, 1));
  check_close(FeatureJitter{}.with(constant, s), {2.5, 2.5, 2.5, 2.5}, 1e-14);
  Tensor logits = matmul(queries(), mT(targets()));
  double spread = (sum(logsumexp(logits, {1})) - mean(logits) * 3.0).item() / 3;  // the truth even over the batch
  CHECK(nce(queries(), targets(), .1).item() == doctest::Approx(.9 * .7712056 + .1 * spread).epsilon(1e-5));
}

TEST_CASE("cir_uncertainty: recall never counts the reference, ties go to the lower index") {
  Tensor similarity = tensor({{.9, .5, .7, .1}, {.3, .3, .3, .2}, {.1, .2, .3, .4}}, f64);
  Tensor target = tensor({1, 1, 0});
  CHECK(recall_at_k(similarity, target, {}, {1, 2, 3, 4}) == std::vector<double>{0, 1. / 3, 2. / 3, 1});
  CHECK(recall_at_k(similarity, target, tensor({0, 0, 3}), {1, 2, 3}) == std::vector<double>{1. / 3, 2. / 3, 1});
}

TEST_CASE("cir_uncertainty: the learning rate warms up and falls twice, stretched to the number of epochs") {
  CHECK(learning_rate_at(0, 60) == doctest::Approx(.01));
  CHECK(learning_rate_at(4, 60) == doctest::Approx(.802));
  CHECK(learning_rate_at(5, 60) == 1);
  CHECK(learning_rate_at(34, 60) == 1);
  CHECK(learning_rate_at(35, 60) == .1);
  CHECK(learning_rate_at(42, 60) == .01);
  CHECK(learning_rate_at(1, 30) == doctest::Approx(.406));
  CHECK(learning_rate_at(18, 30) == .1);
}

TEST_CASE("cir_uncertainty: the gated compositor is its formula; features have the length that is set") {
  manual_seed(3);
  GatedResidual compositor(4, 3);
  Tensor x = randn({5, 4}), w = randn({5, 3});
  Tensor bias = compositor.gate.parameters().back(), residual = compositor.residual(cat({x, w}, 1));
  {
    NoGrad off;
    fill_(bias, -200);
    check_close(compositor(x, w), to_vector(residual), 1e-6);
    fill_(bias, 200);
    check_close(compositor(x, w), to_vector(x + residual), 1e-6);
  }
  PerceptronNetwork net({.norm_scale = 6});
  Tensor images = rand({5, 3, 8, 8}), tokens = randint(0, 18, {5, 2});
  check_close(norm(net.target(images), 2, {1}), std::vector<double>(5, 6), 1e-6);
  check_close(norm(net.query(images, tokens), 2, {1}), std::vector<double>(5, 6), 1e-6);
  CHECK(to_vector(net.query(images, tokens)) != to_vector(net.query(images, 17 - tokens)));  // the text counts
  CHECK(net.num_parameters() < 200'000);
}

TEST_CASE("cir_uncertainty: CoSMo's compositor with attention and gates off changes the style as it should, and all its parts learn") {
  manual_seed(4);
  CosmoCompositor compositor(6, 3);
  Tensor x = randn({2, 6, 4, 4}), w = randn({2, 3});
  CHECK(compositor(x, w).shape() == x.shape());
  for (double v : to_vector(narrow(compositor.style.bias, 0, 0, 6))) CHECK(v == 1);
  for (double v : to_vector(narrow(compositor.style.bias, 0, 6, 6))) CHECK(v == 0);
  for (auto& a : compositor.attention) CHECK(a.weight.item() == 1);
  {
    NoGrad off;
    for (auto& a : compositor.attention) fill_(a.weight, 0);
    fill_(compositor.style.weight, 0);
    fill_(compositor.gates.weight, 0);
    fill_(compositor.gates.bias, -40);  // sigmoid 0
    check_close(compositor(x, w), to_vector(instance_norm(x)), 1e-5);
    fill_(compositor.gates.bias, 40);  // γ = σ(x) + 1, β = μ(x): the image and its normal form
    check_close(compositor(x, w), to_vector(x + instance_norm(x)), 1e-4);
    for (auto& a : compositor.attention) fill_(a.weight, 1);
  }
  CosmoNetwork net({.width = 16});
  Tensor images = rand({6, 3, 8, 8}), tokens = randint(0, 18, {6, 2});
  nce(net.query(images, tokens), net.target(rand({6, 3, 8, 8}))).backward();
  for (const auto& [name, parameter] : net.named_parameters()) {
    CAPTURE(name);
    REQUIRE(parameter.grad().defined());
    double size = sum(plumb::abs(parameter.grad())).item();
    CHECK(std::isfinite(size));
    if (name.find("key.bias") == std::string::npos) CHECK(size > 0);  // a key's bias shifts all scores of a question alike
  }
  CosmoNetwork copy = net;  // with children in an array
  CHECK(to_vector(copy.target(images)) == to_vector(net.target(images)));
}

TEST_CASE("cir_uncertainty: a triplet changes the digit or the colour, and its target is of the group that results") {
  DigitImages images = digit_images(data::digits().test());
  Generator g(5);
  Triplets t = draw_triplets(images, 200, g);
  int digits = 0;
  for (size_t i = 0; i < 200; ++i) {
    int64_t was = images.group(t.reference[i]), is = images.group(t.target[i]);
    CHECK(is == t.group[i]);
    CHECK(((was / kColours == is / kColours) != (was % kColours == is % kColours)));  // one of the two stays
    bool digit = t.tokens[2 * i] == 0;
    digits += digit;
    CHECK(t.tokens[2 * i + 1] == (digit ? 2 + is / kColours : 2 + kDigits + is % kColours));
  }
  CHECK(std::abs(digits - 100) < 43);  // deviation 7
  Gallery gallery = draw_gallery(images, 1500, 80, g);
  std::set<std::pair<int64_t, int64_t>> different;
  for (const Tinted& item : gallery.items) different.emplace(item.image, item.colour);
  CHECK(different.size() == 1500);
  for (size_t q = 0; q < 80; ++q) {
    CHECK(images.group(gallery.items[static_cast<size_t>(gallery.target[q])]) == gallery.queries.group[q]);
    CHECK(gallery.target[q] != gallery.reference[q]);
  }
  Tensor colours = images.tint({{7, 0}, {7, 3}});  // red, yellow
  CHECK(to_vector(select(select(colours, 0, 1), 0, 1)) == to_vector(select(select(colours, 0, 0), 0, 0)));
  for (double v : to_vector(select(select(colours, 0, 1), 0, 2))) CHECK(v == 0);
}

TEST_CASE("cir_uncertainty: mistakes are named") {
  Tensor none = zeros({0, 4}), one = zeros({2, 1});
  Generator g(6);
  CHECK_THROWS_WITH_AS(nce(queries(), zeros({2, 4}, f64)), "nce: takes queries and targets [B, d], got [3, 4] and [2, 4]", ShapeError);
  CHECK_THROWS_WITH_AS(nce(none, none), "nce: the batch is empty", ValueError);
  CHECK_THROWS_WITH_AS(FeatureJitter{}.apply(one, g), "feature_jitter: rows of 1 channel have no standard deviation", ValueError);
  CHECK_THROWS_WITH_AS(FeatureJitter{.alpha_scale = -1}.apply(queries(), g), "feature_jitter: scales must not be negative, one is -1",
                       ValueError);
  CHECK_THROWS_WITH_AS(recall_at_k(queries(), tensor({0, 1, 2}), {}, {5}), "recall_at_k: k must lie in [1, 4], the gallery, it is 5",
                       ValueError);
  CHECK_THROWS_WITH_AS(recall_at_k(queries(), tensor({0, 1, 4}), {}, {1}), "recall_at_k: target 4 is outside the gallery of 4", IndexError);
  CHECK_THROWS_WITH_AS(recall_at_k(queries(), tensor({0, 1, 2}), tensor({3, 1, 0}), {1}),
                       "recall_at_k: the target of query 1 is its reference, 1", ValueError);
  CHECK_THROWS_WITH_AS((CoarseToFineWeight{1, 10}.at(11)), "coarse_to_fine_weight: epoch 11 is outside [0, 10]", ValueError);
  CHECK_THROWS_WITH_AS((CoarseToFineWeight{-1, 10}.at(0)),
                       "coarse_to_fine_weight: gamma0 must not be negative and total at least 1, they are -1 and 10", ValueError);
  CHECK_THROWS_WITH_AS(mgur_loss(queries(), targets(), targets(), 1.5), "mgur_loss: gamma must lie in [0, 1], it is 1.5", ValueError);
  CHECK_THROWS_WITH_AS(PerceptronNetwork({.width = 0}), "composed retrieval: width must be positive, it is 0", ConfigError);
  DigitImages few = digit_images(data::digits().test().take(20));
  CHECK_THROWS_WITH_AS(draw_gallery(few, 121, 1, g), "draw_gallery: 121 different ones of 120 coloured images", ValueError);
}

TEST_CASE("cir_uncertainty: the experiment measures every variant at the smoke budget") {
  Results results =
      run_experiment({"representation", "cir_uncertainty", &cir_uncertainty::experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == 12);
  for (const CellResult& cell : results.cells) {
    CAPTURE(cell.variant);
    std::map<std::string, double> m(cell.measured.metrics.begin(), cell.measured.metrics.end());
    CHECK(m["recall@50 (%)"] > 9);  // chance is 6 %
    CHECK(m["recall@50 (%)"] >= m["recall@10 (%)"]);
    CHECK(m["recall@10 (%)"] >= m["recall@1 (%)"]);
    CHECK(m["spread of queries"] > .001);
  }
}
