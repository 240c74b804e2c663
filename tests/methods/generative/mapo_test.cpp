// Margin-aware preference optimisation: the worked losses and slopes of both links, their limits, the styles, and the experiment.
#include "methods/generative/mapo/mapo.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/autograd/backward.h"
#include "methods/generative/mapo/styles.h"
#include "methods/runner.h"
#include "models/diffusion/vector_ddpm.h"
#include "ops/gradcheck.h"
#include "ops/index.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "tests/methods/measured.h"
#include "tests/models/module_gradients.h"

using namespace plumb;
using namespace plumb::diffusion;

namespace plumb::methods::mapo {
Experiment experiment();
}

namespace mapo = methods::mapo;
using mapo::Link;

namespace {

Tensor errors(std::vector<double> values) { return from_vector(values).requires_grad_(); }

struct Worked {
  double loss, by_preferred, by_rejected;  // with its slopes, one pair
};

Worked one_pair(double w, double l, const mapo::MapoOptions& options) {
  Tensor lw = errors({w}), ll = errors({l});
  Tensor loss = mapo::mapo_loss({lw, ll}, options).loss;
  loss.backward();
  return {loss.item(), lw.grad().item(), ll.grad().item()};
}

}  // namespace

TEST_CASE("mapo: the score is 1 at 0, falls, stays in (0, 1], and has its digits at every size, slope included") {
  for (auto [l, s] : {std::pair{0.05, 0.987552}, {0.2, 0.950833}, {0.28, 0.931633}, {0.3, 0.926874}, {0.0, 1.0}})
    CHECK(mapo::bounded_score(errors({l}), 0.5).item() == doctest::Approx(s).epsilon(1e-6));
  double last = 2;
  for (double u : {0.0, 1e-9, 1e-4, 0.0999999, 0.1000001, 0.7, 3.0, 29.999, 30.001, 80.0, 700.0}) {
    CAPTURE(u);
    Tensor l = errors({u});
    Tensor s = mapo::bounded_score(l, 1);
    CHECK(s.item() < last);
    CHECK(s.item() > 0);
    CHECK(s.item() <= 1);
    last = s.item();
    double e = std::expm1(u), exact = u == 0 ? 1 : u < 40 ? u / e : u * std::exp(-u);
    CHECK(s.item() == doctest::Approx(exact).epsilon(1e-12));
    s.backward();
    // s' = (e − u eᵘ)/e², by its own series where that is a difference of near numbers, by its limit where eᵘ overflows
    double slope = u < 1e-3 ? -0.5 + u / 6 : u < 300 ? (e - u * std::exp(u)) / (e * e) : (1 - u) * std::exp(-u);
    CHECK(l.grad().item() == doctest::Approx(slope).epsilon(1e-8));
  }
  Tensor vast = errors({1e4, 1e30});
  Tensor s = mapo::bounded_score(vast, 1);
  sum(s).backward();
  for (double v : to_vector(s)) CHECK(v == 0);
  for (double v : to_vector(vast.grad())) CHECK(v == 0);
  // f32 keeps its digits near 0, where eᵘ − 1 would lose them
  Tensor single = to(tensor({1e-6, 3e-4, 0.05}), f32).requires_grad_();
  std::vector<double> got = to_vector(mapo::bounded_score(single, 0.5));
  CHECK(got[0] == doctest::Approx(1 - 0.25e-6).epsilon(1e-7));
  CHECK(got[1] == doctest::Approx(1 - 0.75e-4).epsilon(1e-7));
  CHECK(gradgradcheck([](const Tensor& x) { return mapo::bounded_score(x, 0.5); }, {test::sample({6}, 1, f64, 0.3, 4)}));
}

TEST_CASE("mapo: the worked pairs of the released link, with slopes") {
  Tensor w = errors({0.30}), l = errors({0.28});
  mapo::MapoLoss one = mapo::mapo_loss({w, l});
  CHECK(one.margin.item() == doctest::Approx(-0.00475850).epsilon(1e-5));
  CHECK(one.log_ratio.item() == doctest::Approx(-4.76704).epsilon(1e-5));
  CHECK(one.loss.item() == doctest::Approx(0.776704).epsilon(1e-5));
  one.loss.backward();
  CHECK(w.grad().item() == doctest::Approx(24.5489).epsilon(1e-5));
  CHECK(l.grad().item() == doctest::Approx(-23.6314).epsilon(1e-5));

  mapo::MapoLoss two = mapo::mapo_loss({errors({0.2}), errors({0.3})});
  CHECK(two.margin.item() == doctest::Approx(0.0239589).epsilon(1e-5));
  CHECK(two.log_ratio.item() == doctest::Approx(-3.93e-11).epsilon(2e-3));
  CHECK(two.loss.item() == doctest::Approx(0.2).epsilon(1e-6));
  CHECK(mapo::mapo_loss({errors({0.2}), errors({0.3})}, {.margin_scale = 100}).loss.item() == doctest::Approx(0.208718).epsilon(1e-5));

  mapo::MapoLoss three = mapo::mapo_loss({errors({0.05, 0.40}), errors({0.06, 0.35})});
  std::vector<double> m = to_vector(three.margin), r = to_vector(three.log_ratio);
  CHECK(m[0] == doctest::Approx(0.00247708).epsilon(1e-5));
  CHECK(m[1] == doctest::Approx(-0.0117197).epsilon(1e-5));
  CHECK(r[0] == doctest::Approx(-0.0806466).epsilon(1e-5));
  CHECK(r[1] == doctest::Approx(-11.7197).epsilon(1e-5));
  CHECK(three.loss.item() == doctest::Approx(0.815016).epsilon(1e-5));
  CHECK(mapo::mapo_loss({errors({0.05, 0.40}), errors({0.06, 0.35})}, {.margin_scale = 100}).loss.item() ==
        doctest::Approx(0.325938).epsilon(1e-5));
  mapo::Saturation s = mapo::saturation(three.margin);
  CHECK(s.settled == 0);
  CHECK(s.amplified == 0.5);
}

TEST_CASE("mapo: the worked pairs of the revised paper's link, with slopes") {
  for (auto [b, w, l, loss, by_w, by_l] :
       {std::tuple{8.0, 0.05, 0.06, 0.134637, 1.20288, -0.195175}, {64.0, 0.05, 0.06, 0.0604040, 1.04916, -0.0356502}}) {
    Worked got = one_pair(w, l, {.link = Link::power, .power = b});
    CHECK(got.loss == doctest::Approx(loss).epsilon(1e-5));
    CHECK(got.by_preferred == doctest::Approx(by_w).epsilon(1e-5));
    CHECK(got.by_rejected == doctest::Approx(by_l).epsilon(1e-5));
  }
  auto phi = [](double l, double b) { return std::pow(mapo::bounded_score(errors({l}), 1).item(), b); };
  CHECK(phi(0.05, 8) == doctest::Approx(0.818049).epsilon(1e-5));
  CHECK(phi(0.06, 8) == doctest::Approx(0.785685).epsilon(1e-5));
  CHECK(phi(0.05, 64) == doctest::Approx(0.200555).epsilon(1e-5));
  CHECK(phi(0.06, 64) == doctest::Approx(0.145206).epsilon(1e-5));
  mapo::MapoLoss far = mapo::mapo_loss({errors({0.2}), errors({0.3})}, {.link = Link::power, .power = 8});
  CHECK(far.margin.item() == doctest::Approx(0.443380 - 0.292299).epsilon(1e-5));
  CHECK(far.loss.item() == doctest::Approx(0.277557).epsilon(1e-5));
}

TEST_CASE("mapo: beta 0 is supervised fine-tuning, equal errors give log 1/2, errors of 0 have finite slopes") {
  Tensor w = errors({0.3, 0.1}), l = errors({0.2, 0.5});
  Tensor loss = mapo::mapo_loss({w, l}, {.beta = 0}).loss;
  CHECK(loss.item() == mapo::sft_loss({w, l}).item());
  CHECK(loss.item() == doctest::Approx(0.2).epsilon(1e-12));
  loss.backward();
  for (double v : to_vector(w.grad())) CHECK(v == 0.5);
  for (double v : to_vector(l.grad())) CHECK(v == 0);
  mapo::MapoLoss equal = mapo::mapo_loss({errors({0.4}), errors({0.4})});
  CHECK(equal.margin.item() == 0);
  CHECK(equal.log_ratio.item() == doctest::Approx(-0.693147).epsilon(1e-6));
  CHECK(equal.loss.item() == doctest::Approx(0.4 + 0.0693147).epsilon(1e-6));
  Worked none = one_pair(0, 0, {});
  CHECK(none.loss == doctest::Approx(0.0693147).epsilon(1e-6));
  CHECK(none.by_preferred == doctest::Approx(1 + 0.1 * 1000 * 0.5 * 0.25).epsilon(1e-9));  // 1 + β T σ(0) k/2
  CHECK(none.by_rejected == doctest::Approx(-12.5).epsilon(1e-9));
  // at no margin and small errors the revised link pulls a quarter as much as the likelihood
  CHECK(one_pair(1e-7, 1e-7, {.link = Link::power}).by_rejected == doctest::Approx(-0.25).epsilon(1e-4));
}

TEST_CASE("mapo: slopes have their closed form and their signs") {
  for (double w : {0.02, 0.3, 1.1})
    for (double l : {0.021, 0.32, 2.0}) {
      auto slope = [](double e) { return 0.5 * (std::expm1(0.5 * e) - 0.5 * e * std::exp(0.5 * e)) / std::pow(std::expm1(0.5 * e), 2); };
      Worked got = one_pair(w, l, {});
      double margin = mapo::bounded_score(errors({w}), 0.5).item() - mapo::bounded_score(errors({l}), 0.5).item();
      double g = 1 / (1 + std::exp(1000 * margin));
      CHECK(got.by_preferred == doctest::Approx(1 - 100 * g * slope(w)).epsilon(1e-9));
      CHECK(got.by_rejected == doctest::Approx(100 * g * slope(l)).epsilon(1e-9));
      CHECK(got.by_preferred > 0);
      CHECK(got.by_rejected <= 0);
    }
}

TEST_CASE("mapo: through a whole denoiser, equal samples have no margin, and the loss has the slope of differences") {
  manual_seed(4);
  VectorDdpm model({.features = 3, .classes = 2, .hidden = {5, 4}}, VpSchedule::linear(20, 0.01, 0.2));
  model.to(f64);
  TimedNetwork network = [&](const Tensor& x, const Tensor& t, const Tensor& c) { return model(x, t, c); };
  PreferencePairs pairs{test::sample({4, 3}, 1), test::sample({4, 3}, 2), tensor({0, 1, 1, 0})};
  PairNoise noise{test::sample({4, 3}, 3), tensor({2, 9, 15, 19})};
  PreferencePairs same{pairs.preferred, pairs.preferred, pairs.condition};
  for (int i = 0; i < 5; ++i) {
    PairErrors e = pair_errors(network, model.schedule(), Prediction::eps, same, shared_noise(same, model.schedule()));
    for (double m : to_vector(mapo::mapo_loss(e).margin)) CHECK(m == 0);
  }
  for (Link link : {Link::released, Link::power})
    plumb_test::check_module_gradients(model, {}, [&] {
      return mapo::mapo_loss(pair_errors(network, model.schedule(), Prediction::eps, pairs, noise), {.link = link, .margin_scale = 10})
          .loss;
    });
}

TEST_CASE("mapo: bad input is one clear line") {
  CHECK_THROWS_WITH_AS(mapo::mapo_loss({errors({0.1}), errors({0.1, 0.2})}),
                       "mapo_loss: takes errors [B] of preferred and rejected samples, got [1] and [2]", ShapeError);
  CHECK_THROWS_WITH_AS(mapo::mapo_loss({errors({0.1}), errors({-0.5})}),
                       "mapo_loss: errors of rejected samples must not be negative, one is -0.5", ValueError);
  CHECK_THROWS_AS(mapo::mapo_loss({errors({NAN}), errors({0.5})}), ValueError);
  CHECK_THROWS_WITH_AS(mapo::mapo_loss({errors({0.1}), errors({0.1})}, {.snr = 0}), "mapo: snr must be positive and finite, it is 0",
                       ValueError);
  CHECK_THROWS_WITH_AS(mapo::mapo_loss({errors({0.1}), errors({0.1})}, {.beta = INFINITY}),
                       "mapo: beta must be finite and not negative, it is inf", ValueError);
  CHECK_THROWS_AS(mapo::mapo_loss({errors({0.1}), errors({0.1})}, {.link = Link::power, .power = 0}), ValueError);
  CHECK_THROWS_AS(mapo::bounded_score(errors({0.1}), -1), ValueError);
}

TEST_CASE("mapo: styles do what they say, and the judge tells them apart") {
  mapo::PlainDigits digits;
  Tensor row = full({1, 64}, -1.0);
  {
    Tensor dot = select(select(reshape(row, {8, 8}), 0, 3), 0, 4);
    fill_(dot, 1.0);
  }
  std::vector<double> thick = to_vector(mapo::in_style(row, mapo::Style::thick));
  for (int64_t y = 0; y < 8; ++y)
    for (int64_t x = 0; x < 8; ++x) CHECK(thick[static_cast<size_t>(8 * y + x)] == ((y == 2 || y == 3) && (x == 3 || x == 4) ? 1 : -1));
  CHECK(to_vector(mapo::in_style(row, mapo::Style::negative))[28] == -1);
  CHECK(mapo::images(row).shape() == Shape{1, 1, 8, 8});
  manual_seed(1);
  mapo::StyleJudge judge(digits, 300);
  CHECK(judge.accuracy() > 0.85);
  Tensor some = slice(digits.rows, 0, 0, 200);
  CHECK(judge.in_style(mapo::in_style(some, mapo::Style::negative), mapo::Style::negative) > 0.97);
  CHECK(judge.in_style(some, mapo::Style::negative) < 0.03);
  CHECK_THROWS_WITH_AS(mapo::in_style(zeros({2, 9}), mapo::Style::thick), "in_style: takes digits [n, 64], got [2, 9]", ShapeError);
}

TEST_CASE("mapo: the experiment runs; only DPO keeps a second network, and fine-tuning leaves the base") {
  methods::Results results =
      methods::run_experiment({"generative", "mapo", &mapo::experiment, {}}, {.budget = methods::Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == mapo::experiment().variants.size());
  CHECK(measured(results, "MaPO", "networks in memory") == 1);
  CHECK(measured(results, "Diffusion-DPO, β = 500", "networks in memory") == 2);
  CHECK(measured(results, "MaPO, LoRA", "networks in memory") > 1);
  CHECK(measured(results, "MaPO, LoRA", "networks in memory") < 1.1);
  CHECK(measured(results, "base", "negative: rejected error, times the base's") == 1);
  CHECK(measured(results, "SFT", "negative: rejected error, times the base's") != 1);
  for (const auto& cell : results.cells)
    for (const auto& [name, value] : cell.measured.metrics) CHECK(std::isfinite(value));
}
