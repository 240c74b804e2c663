// supnotMIWAE: masks, decay, the Gaussian process, densities by hand; what padding may not do; the model and the experiment.
#include "methods/time_series/supnotmiwae/supnotmiwae.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numbers>
#include <set>

#include "methods/runner.h"
#include "methods/time_series/supnotmiwae/baselines.h"
#include "models/optim/adam.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/linalg.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/ops/samples.h"

namespace plumb::methods::supnotmiwae {
Experiment experiment();
}

using namespace plumb;
using namespace plumb::methods::supnotmiwae;
using plumb::test::difference;
using plumb::test::sample;

namespace {

SeriesBatch batch_of(int64_t size, int64_t steps, int64_t channels, double observed, uint64_t seed) {
  SeriesBatch b;
  b.values = sample({size, steps, channels}, seed, f32);
  b.mask = to(sample({size, steps, channels}, seed + 1, f32, 0, 1) < observed, f32);
  b.values = b.values * b.mask;
  b.times = expand(arange(0, steps, 1, f32) * 0.5, {size, steps});
  b.length = full({size}, steps, i64);
  return b;
}

Config small(int64_t channels = 3) {
  return {.channels = channels,
          .classes = 3,
          .latent = 2,
          .width = 8,
          .heads = 2,
          .encoder_layers = 1,
          .decoder_layers = 1,
          .classifier_layers = 1,
          .latent_deviation = 1e-3,
          .data_deviation = 0.05,
          .prior = {.length_scale = 2},
          .longest = 6,
          .train_latents = 3,
          .test_latents = 4,
          .test_samples = 2};
}

void check_close(const Tensor& x, std::initializer_list<double> expected, double tolerance) {
  std::vector<double> v = to_vector(x);
  REQUIRE(v.size() == expected.size());
  for (size_t i = 0; i < v.size(); ++i) CHECK(v[i] == doctest::Approx(expected.begin()[i]).epsilon(tolerance));
}

}  // namespace

TEST_CASE("supnotmiwae: densities and deviations by hand") {
  CHECK(normal_log_density(tensor({1.0}, f64), tensor({0.5}, f64), tensor({2.0}, f64)).item() == doctest::Approx(-1.64334).epsilon(1e-5));
  CHECK(bounded_deviation(zeros({1}, f64), 1e-3).item() == doctest::Approx(0.693454).epsilon(1e-6));
}

TEST_CASE("gp_prior: four steps by hand, against the dense density, independent steps") {
  GpPrior prior(4);
  check_close(select(prior.covariance(), 0, 0), {1.006, 0.9849, 0.929151, 0.849052}, 1e-6);
  CHECK(slogdet(prior.covariance()).logabs.item() == doctest::Approx(-12.0180).epsilon(1e-5));
  Tensor z = reshape(tensor({.5, -.2, .1, .3}, f64), {1, 4, 1});
  CHECK(prior.log_density(z, tensor({4})).item() == doctest::Approx(-37.7459).epsilon(1e-6));

  GpPrior longer(9, {.length_scale = 2.5});
  Tensor many = sample({2, 3, 6, 2}, 1);
  std::vector<int64_t> lengths{6, 4, 1};
  Tensor got = longer.log_density(many, from_vector(lengths));
  for (int64_t k = 0; k < 2; ++k)
    for (int64_t b = 0; b < 3; ++b) {
      int64_t n = lengths[static_cast<size_t>(b)];
      Tensor block = contiguous(narrow(narrow(longer.covariance(), 0, 0, n), 1, 0, n));
      double expected = 0;
      for (int64_t d = 0; d < 2; ++d) {
        Tensor v = contiguous(select(narrow(select(select(many, 0, k), 0, b), 0, 0, n), 1, d));
        expected -=
            0.5 * (dot(v, solve(block, v)).item() + slogdet(block).logabs.item() + static_cast<double>(n) * std::log(2 * std::numbers::pi));
      }
      CHECK(to_vector(got)[static_cast<size_t>(k * 3 + b)] == doctest::Approx(expected).epsilon(1e-9));
    }
  CHECK(difference(to(longer.log_density(to(many, f32), from_vector(lengths)), f64), got) < 1e-4);

  GpPrior independent(4, {.length_scale = 0});
  Tensor deviation = full({4}, std::sqrt(1.006), f64);
  CHECK(independent.log_density(z, tensor({4})).item() ==
        doctest::Approx(sum(normal_log_density(reshape(z, {4}), zeros({4}, f64), deviation)).item()).epsilon(1e-12));
  GpPrior nearly(4, {.length_scale = 1e-4});
  CHECK(nearly.log_density(z, tensor({4})).item() == doctest::Approx(independent.log_density(z, tensor({4})).item()).epsilon(1e-6));
  CHECK_THROWS_WITH_AS(GpPrior(0), "gp_prior: there must be at least one step, there are 0", ValueError);
  CHECK_THROWS_AS(GpPrior(3, {.jitter = 0}), ValueError);
  CHECK_THROWS_WITH_AS(prior.log_density(zeros({1, 5, 1}, f64), tensor({5})),
                       "gp_prior: the series [1, 5, 1] have more steps than the prior, 4", ShapeError);
}

TEST_CASE("decay_impute: four steps by hand") {
  Tensor times = tensor({{0.0, 1.0, 2.5, 4.0}}, f64), x = reshape(tensor({2.0, 0.0, 0.0, 5.0}, f64), {1, 4, 1}),
         mask = reshape(tensor({1.0, 0.0, 0.0, 1.0}, f64), {1, 4, 1});
  Tensor generated = reshape(tensor({.3, -.4, .6, .1}, f64), {1, 4, 1});
  LastSeen last = forward_fill(x, mask, times);
  CHECK(to_vector(last.value) == std::vector<double>{2, 2, 2, 5});
  CHECK(to_vector(last.elapsed) == std::vector<double>{0, 1, 2.5, 0});
  Tensor filled = decay_impute(x, mask, last, generated, tensor({0.5}, f64), tensor({0.1}, f64));
  check_close(filled, {2, 0.917148, 0.962936, 5}, 1e-6);
  CHECK((0.917148 + 0.4) / 2.4 == doctest::Approx(0.548812).epsilon(1e-6));  // γ at the second step
  CHECK((0.962936 - 0.6) / 1.4 == doctest::Approx(0.259240).epsilon(1e-5));
  // Nothing seen: value 0 since time 0.
  LastSeen none = forward_fill(x, zeros_like(mask), times);
  CHECK(to_vector(none.value) == std::vector<double>{0, 0, 0, 0});
  CHECK(to_vector(none.elapsed) == std::vector<double>{0, 1, 2.5, 4});
  // Everything seen: x itself, whatever γ.
  for (double w : {0.0, 3.0})
    CHECK(difference(
              decay_impute(x, ones_like(mask), forward_fill(x, ones_like(mask), times), generated, tensor({w}, f64), tensor({0.1}, f64)),
              x) == 0);
}

TEST_CASE("obs_dropout: hides observed entries alone, anew for every sample") {
  Generator g(1);
  Tensor mask = to(sample({40, 10, 5}, 2, f32, 0, 1) < 0.5, f32);
  Tensor kept = obs_dropout(mask, 0.4, 3, g);
  CHECK(kept.shape() == Shape{3, 40, 10, 5});
  CHECK(max(kept - unsqueeze(mask, 0)).item() <= 0);
  double share = sum(kept).item() / (3 * sum(mask).item());
  CHECK(std::abs(share - 0.6) < 0.04);  // about 3000 draws: 4.5 deviations
  CHECK(difference(select(kept, 0, 0), select(kept, 0, 1)) == 1);
  CHECK(difference(obs_dropout(mask, 0, 2, g), expand(unsqueeze(mask, 0), {2, 40, 10, 5})) == 0);
  CHECK_THROWS_WITH_AS(obs_dropout(mask, 1, 1, g), "obs_dropout: the rate must lie in [0, 1), it is 1", ValueError);
  CHECK_THROWS_AS(obs_dropout(mask, -0.1, 1, g), ValueError);
  Tensor one = ones({1, 1, 1}, f64);
  CHECK(dropout_log_probability(unsqueeze(one, 0), one, 0.4).item() == doctest::Approx(-0.510826).epsilon(1e-6));
  CHECK(dropout_log_probability(zeros({1, 1, 1, 1}, f64), one, 0.4).item() == doctest::Approx(-0.916291).epsilon(1e-6));
}

TEST_CASE("time_code: sines and cosines of each series' own time") {
  Tensor code = time_code(tensor({{0.0, 2.0, 4.0}}, f64), 3);
  CHECK(code.shape() == Shape{1, 3, 3});
  std::vector<double> v = to_vector(code);
  for (size_t t = 0; t < 3; ++t) {
    double time = 0.5 * static_cast<double>(t);
    CHECK(v[3 * t] == doctest::Approx(std::sin(time)).epsilon(1e-12));
    CHECK(v[3 * t + 1] == doctest::Approx(std::cos(time / 10)).epsilon(1e-12));
    CHECK(v[3 * t + 2] == doctest::Approx(std::sin(time / 100)).epsilon(1e-12));
  }
  CHECK(all(isfinite(time_code(zeros({1, 2}), 4))).item<bool>());
}

TEST_CASE("supnotmiwae: fully observed and without dropout the classifier reads the series itself, whatever is generated") {
  manual_seed(3);
  SupNotMiwae model(small());
  SeriesBatch b = batch_of(4, 6, 3, 2, 5);
  Generator g1(1), g2(99);
  auto a = model.predict(b, g1), c = model.predict(b, g2);
  CHECK(difference(a.imputed, b.values) < 1e-6);
  CHECK(difference(a.probabilities, c.probabilities) < 1e-5);
  CHECK(difference(sum(a.probabilities, {-1}), ones({4})) < 1e-5);
  for (double ess : to_vector(a.effective_samples)) CHECK((ess >= 1 - 1e-5 && ess <= 4 + 1e-5));
}

TEST_CASE("supnotmiwae: the classifier drops activations in training alone") {
  manual_seed(10);
  Config c = small();
  c.classifier_dropout = 0.5;
  SupNotMiwae model(c);
  SeriesBatch b = batch_of(4, 6, 3, 2, 13);
  auto predicted = [&] {
    Generator g(1);
    return model.predict(b, g).probabilities;
  };
  CHECK(difference(predicted(), predicted()) > 1e-4);
  model.eval();
  CHECK(difference(predicted(), predicted()) == 0);
}

TEST_CASE("supnotmiwae: a series without any value has a finite loss") {
  manual_seed(4);
  SupNotMiwae model(small());
  SeriesBatch b = batch_of(2, 5, 3, 0, 6);
  Generator g(2);
  CHECK(std::isfinite(model.loss(b, tensor({0, 2}), g).total.item()));
  CHECK(all(isfinite(model.predict(b, g).probabilities)).item<bool>());
}

TEST_CASE("supnotmiwae: hidden entries still count in log p(x | z)") {
  // Without the label's and the mask's part the loss does not know beta: the same draws give the same bound.
  manual_seed(5);
  Config c = small();
  c.missingness = false;
  c.beta = 0.9;
  SupNotMiwae hiding(c);
  Config without = c;
  without.beta = 0;
  SupNotMiwae open(without);
  open.load_state(hiding.state());
  SeriesBatch b = batch_of(4, 6, 3, 0.7, 7);
  Generator g1(3), g2(3);
  methods::supnotmiwae::Loss a = hiding.loss(b, tensor({0, 1, 2, 0}), g1), d = open.loss(b, tensor({0, 1, 2, 0}), g2);
  CHECK(a.log_p_x == d.log_p_x);
  CHECK(a.kl == d.kl);
  CHECK(a.log_p_y != d.log_p_y);
}

TEST_CASE("supnotmiwae: what lies beyond a series' end changes nothing") {
  manual_seed(6);
  for (Aggregation how : {Aggregation::mean, Aggregation::max}) {
    Config c = small();
    c.aggregation = how;
    SupNotMiwae model(c);
    FilledClassifier plain(3, 3, Filling::forward, {.width = 8, .layers = 1});
    GruD recurrent(3, 3, 6);
    SeriesBatch b = batch_of(3, 6, 3, 0.6, 8), other = b;
    b.length = other.length = tensor({6, 4, 2});
    other.values = clone(b.values), other.mask = clone(b.mask), other.times = clone(b.times);
    for (int64_t t = 4; t < 6; ++t)
      for (int64_t d = 0; d < 3; ++d) other.values.data<float>()[(6 + t) * 3 + d] = NAN, other.mask.data<float>()[(6 + t) * 3 + d] = 1;
    for (int64_t t = 2; t < 6; ++t) {
      other.times.data<float>()[12 + t] = 1e6f;
      for (int64_t d = 0; d < 3; ++d) other.values.data<float>()[(12 + t) * 3 + d] = -50;
    }
    Tensor labels = tensor({0, 1, 2});
    Generator g1(4), g2(4), g3(5), g4(5);
    CHECK(model.loss(b, labels, g1).total.item() == model.loss(other, labels, g2).total.item());
    CHECK(difference(model.predict(b, g3).probabilities, model.predict(other, g4).probabilities) == 0);
    CHECK(difference(plain(b), plain(other)) == 0);
    CHECK(difference(recurrent(b), recurrent(other)) == 0);
  }
}

TEST_CASE("supnotmiwae: one latent and one sample give the plain sum of terms; log p(m) is added when asked for") {
  manual_seed(7);
  Config c = small();
  c.train_latents = 1;
  SupNotMiwae model(c);
  SeriesBatch b = batch_of(5, 6, 3, 0.6, 9);
  Tensor labels = tensor({0, 1, 2, 0, 1});
  Generator g1(6), g2(6);
  methods::supnotmiwae::Loss l = model.loss(b, labels, g1);
  CHECK(l.total.item() == doctest::Approx(-(l.log_p_y + l.log_p_s + l.log_p_x - l.kl)).epsilon(1e-5));
  CHECK(l.effective_samples == doctest::Approx(1));
  c.mask_probability = true;
  SupNotMiwae counting(c);
  counting.load_state(model.state());
  double low = -std::log(0.6) * sum(b.mask).item() / 5, high = -std::log(0.4) * sum(b.mask).item() / 5;
  double added = counting.loss(b, labels, g2).total.item() - l.total.item();
  CHECK(added > low);
  CHECK(added < high);
}

TEST_CASE("supnotmiwae: gradients reach every parameter, several samples, static features, options") {
  manual_seed(8);
  Config c = small();
  c.statics = 2;
  c.train_samples = 2;
  c.bounded_logits = true;
  c.gp = false;
  c.missingness_in_prediction = true;
  SupNotMiwae model(c);
  SeriesBatch b = batch_of(4, 6, 3, 0.6, 10);
  Generator g(7);
  CHECK_THROWS_WITH_AS(model.loss(b, tensor({0, 1, 2, 0}), g), "series_classifier: static features are missing", ValueError);
  b.statics = sample({4, 2}, 11, f32);
  model.loss(b, tensor({0, 1, 2, 0}), g).total.backward();
  for (const auto& p : model.named_parameters()) {
    INFO(p.name);
    REQUIRE(p.tensor.grad().defined());
    CHECK(all(isfinite(p.tensor.grad())).item<bool>());
  }
  CHECK(model.predict(b, g).probabilities.shape() == Shape{4, 3});
  model.zero_grad();
  model.generative_loss(b, g).backward();
  for (const Tensor& p : model.generative_parameters()) CHECK(p.grad().defined());
  for (const auto& p : model.named_parameters())
    if (p.name.starts_with("classifier")) CHECK_FALSE(p.tensor.grad().defined());
}

TEST_CASE("supnotmiwae: the decay's b stays at 0 or above") {
  manual_seed(9);
  SupNotMiwae model(small());
  for (auto& p : model.named_parameters())
    if (p.name == "imputer.b") {
      copy_data(full({3}, -0.2), p.tensor);
      model.project();
      CHECK(min(p.tensor).item() == 0);
    }
}

TEST_CASE("baselines: fillings by hand") {
  SeriesBatch b;
  b.values = reshape(tensor({1.0, 0.0, 4.0, 0.0, 0.0, 0.0}), {1, 3, 2});
  b.mask = reshape(tensor({1.0, 0.0, 1.0, 0.0, 0.0, 0.0}), {1, 3, 2});
  b.times = tensor({{0.0, 1.0, 3.0}});
  b.length = tensor({3});
  CHECK(to_vector(fill(b, Filling::zero)) == std::vector<double>{1, 0, 4, 0, 0, 0});
  CHECK(to_vector(fill(b, Filling::channel_mean)) == std::vector<double>{1, 0, 4, 0, 2.5, 0});
  CHECK(to_vector(fill(b, Filling::forward)) == std::vector<double>{1, 0, 4, 0, 4, 0});
  CHECK(to_vector(time_since_observed(b.mask, b.times)) == std::vector<double>{0, 0, 1, 1, 2, 3});
  GruD gru(2, 3, 4);
  check_close(gru.imputed(b), {1, 0, 4, 0, 4 * std::exp(-0.05), 0}, 1e-6);
}

TEST_CASE("supnotmiwae: what does not fit is refused") {
  Config c = small();
  c.beta = 1;
  CHECK_THROWS_WITH_AS(SupNotMiwae{c}, "supnotmiwae: beta must lie in [0, 1), it is 1", ValueError);
  c = small();
  c.train_latents = 0;
  CHECK_THROWS_WITH_AS(SupNotMiwae{c}, "supnotmiwae: K in training must be at least 1, it is 0", ValueError);
  c = small();
  c.data_deviation = 0;
  CHECK_THROWS_AS(SupNotMiwae{c}, ValueError);
  SeriesBatch b = batch_of(2, 4, 3, 0.5, 12);
  b.length = tensor({4, 0});
  CHECK_THROWS_WITH_AS(b.cleaned(), "series: a length of 0 is outside [1, 4]", ValueError);
  b.length = tensor({4});
  CHECK_THROWS_AS(b.cleaned(), ShapeError);
}

TEST_CASE("supnotmiwae: the experiment runs, and its variants measure what they should") {
  methods::Results results =
      methods::run_experiment({"time_series", "supnotmiwae", &experiment, {}}, {.budget = methods::Budget::smoke, .seeds = 1});
  CHECK(results.cells.size() == experiment().variants.size());
  std::set<double> different;
  for (const auto& cell : results.cells) {
    different.insert(cell.measured.metrics[1].second);
    for (const auto& [name, value] : cell.measured.metrics) CHECK_MESSAGE(std::isfinite(value), cell.variant << ": " << name);
  }
  CHECK(different.size() == results.cells.size());  // no two have the same negative log-likelihood
}
