// AR-Net: the penalty and its gradient by hand, exact least squares, training that reaches it, the true lags found, and what is refused.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <map>

#include "engine/core/error.h"
#include "engine/data/lag_windows.h"
#include "methods/runner.h"
#include "methods/time_series/ar_net/ar_process.h"
#include "methods/time_series/ar_net/fit.h"
#include "methods/time_series/ar_net/study.h"
#include "ops/elementary.h"
#include "ops/gradcheck.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::ar_net {
Experiment experiment();
}
namespace plumb::methods::ar_net_series {
Experiment experiment();
}
namespace plumb::methods::ar_net_scaling {
Experiment experiment();
}

using namespace plumb;
using namespace plumb::methods::ar_net;

namespace {

Tensor example_weights() { return tensor({.2, -.5, .01, 0.}, f64); }
Tensor example_series() { return tensor({1., .5, -.2, .3, .8, .1, -.4, .2}, f64); }

Tensor gradient_of(const Tensor& w, auto&& f) {
  Tensor leaf = clone(w).requires_grad_();
  f(leaf).backward();
  return leaf.grad();
}

void check_close(const Tensor& x, std::initializer_list<double> expected, double tolerance) {
  std::vector<double> v = to_vector(x);
  REQUIRE(v.size() == expected.size());
  for (size_t i = 0; i < v.size(); ++i)
    CHECK(std::abs(v[i] - expected.begin()[i]) <= tolerance * std::max(1.0, std::abs(expected.begin()[i])));
}

std::map<std::string, double> metrics_of(const methods::CellResult& cell) {
  return {cell.measured.metrics.begin(), cell.measured.metrics.end()};
}

}  // namespace

TEST_CASE("ar_net: the penalty and its gradient on four weights by hand") {
  Tensor w = example_weights();
  check_close(ar_sparsity_penalty(w), {0.462033}, 1e-6);
  for (auto [at, term] : {std::pair{0, 0.705017}, {1, 0.830750}, {2, 0.312366}, {3, 0.0}})
    CHECK(ar_sparsity_penalty(narrow(w, 0, at, 1)).item() == doctest::Approx(term).epsilon(1e-5));
  check_close(gradient_of(w, [](const Tensor& x) { return ar_sparsity_penalty(x); }), {0.183830, -0.0614830, 2.43028, 0}, 2e-6);
  // A row of a network's weight counts as the vector does; f32 agrees.
  CHECK(ar_sparsity_penalty(reshape(to(w, f32), {1, 4})).item() == doctest::Approx(0.462033).epsilon(1e-5));
}

TEST_CASE("ar_net: the penalty is even, 0 at 0, below 1 and grows with the size of a weight") {
  double before = -1;
  for (double size : {0.0, 1e-6, 1e-3, 0.1, 1.0, 20.0}) {
    double r = ar_sparsity_penalty(tensor({size}, f64)).item();
    CHECK(r == ar_sparsity_penalty(tensor({-size}, f64)).item());
    CHECK(r > before);
    CHECK(r < 1);
    before = r;
  }
  CHECK(ar_sparsity_penalty(tensor({0.0}, f64)).item() == 0);
}

TEST_CASE("ar_net: the penalty's gradient is 0 at an exact 0, finite everywhere, and held where it would freeze a weight") {
  Tensor w = tensor({0.0, 1e-30, -1e-12, 1e-9, 1e-4, -1.0, 50.0, 0.01}, f64);
  for (double clip : {0.0, 100.0})
    for (auto f : {+[](const Tensor&x, double c) { return ar_sparsity_penalty(x, {.clip = c}); },
                   +[](const Tensor&x, double c) { return power_penalty(x, 0.5, c); }}) {
      std::vector<double> g = to_vector(gradient_of(w, [&](const Tensor& x) { return f(x, clip); }));
      CHECK(g[0] == 0);
      for (double v : g) CHECK(std::isfinite(v));
      CHECK(g[1] > 0);
      CHECK(g[2] < 0);
      if (clip > 0) CHECK(std::abs(g[3]) <= clip / 8);
      if (clip == 0) CHECK(std::abs(g[3]) > 1e3);
    }
  // Above 4e-4 the clip changes nothing.
  Tensor above = tensor({4.1e-4, -0.002, 0.3}, f64);
  CHECK(to_vector(gradient_of(above, [](const Tensor& x) { return ar_sparsity_penalty(x, {.clip = 100}); })) ==
        to_vector(gradient_of(above, [](const Tensor& x) { return ar_sparsity_penalty(x, {.clip = 0}); })));
}

TEST_CASE("ar_net: gradients of the penalties agree with differences, and can be differentiated again") {
  Tensor w = tensor({.2, -.5, .07, 1.3}, f64);
  for (const auto& form : {SparsityForm{}, SparsityForm{.c1 = 2, .c2 = 2}}) {
    auto f = [&](const std::vector<Tensor>& x) -> std::vector<Tensor> { return {ar_sparsity_penalty(x[0], form)}; };
    CHECK_MESSAGE(gradcheck(f, {w}).passed, gradcheck(f, {w}).message);
    CHECK(gradgradcheck(f, {w}).passed);
  }
  for (double q : {0.5, 1.0}) {
    auto f = [&](const std::vector<Tensor>& x) -> std::vector<Tensor> { return {power_penalty(x[0], q)}; };
    CHECK(gradcheck(f, {w}).passed);
  }
  CHECK(power_penalty(w, 1).item() == doctest::Approx((.2 + .5 + .07 + 1.3) / 4));
  CHECK(power_penalty(w, 0.5).item() == doctest::Approx((std::sqrt(.2) + std::sqrt(.5) + std::sqrt(.07) + std::sqrt(1.3)) / 4));
}

TEST_CASE("ar_net: lambda from the expected share of lags, and the ramps") {
  CHECK(ar_lambda(1, 0.02) == 0);
  CHECK(ar_lambda(0.15, 0.02) == doctest::Approx(0.113333).epsilon(1e-5));
  CHECK(ar_lambda(0.15, 0.01) == doctest::Approx(0.0566667).epsilon(1e-6));
  CHECK(ar_lambda(0.03, 0.02) == doctest::Approx(0.646667).epsilon(1e-6));
  CHECK_THROWS_WITH_AS(ar_lambda(0, 0.02), "ar_lambda: the share of lags must lie in (0, 1], it is 0", ValueError);
  CHECK_THROWS_AS(ar_lambda(-0.1, 0.02), ValueError);
  CHECK_THROWS_WITH_AS(ar_lambda(1.5, 0.02), "ar_lambda: the share of lags must lie in (0, 1], it is 1.5", ValueError);
  CHECK(quadratic_ramp(0) == 0);
  CHECK(quadratic_ramp(0.25) == doctest::Approx(0.25));
  CHECK(quadratic_ramp(0.5) == 1);
  CHECK(quadratic_ramp(0.9) == 1);
  CHECK(quadratic_ramp(0.1, 0.2, 0.4) == 0);
  CHECK_THROWS_AS(quadratic_ramp(0.1, 0.5, 0.5), ValueError);
}

TEST_CASE("ar_net: errors of coefficients and the noise of a series by hand") {
  Tensor truth = tensor({.2, .3, -.5}, f64);
  CHECK(stpe(tensor({.22, .28, -.45, .02}, f64), truth) == doctest::Approx(5.58376).epsilon(1e-6));
  CHECK(stpe(truth, truth) == 0);
  CHECK(stpe(zeros({3}, f64), truth) == doctest::Approx(100));
  CHECK(stpe(tensor({{.2, .3, -.5}}, f64), truth) == 0);
  CHECK(noise_estimate(tensor({1., 3., 2., 2.5}, f64)) == doctest::Approx(1.16667).epsilon(1e-5));
  CHECK_THROWS_AS(stpe(zeros({2, 2}), truth), ShapeError);
  CHECK_THROWS_WITH_AS(noise_estimate(tensor({1.0})), "noise_estimate: needs 2 values, there are 1", ValueError);
}

TEST_CASE("ar_net: least squares on eight values by hand, by both ways, and training that reaches it") {
  data::LagMatrix m = data::make_lag_matrix(example_series(), 2);
  for (LeastSquares how : {LeastSquares::qr, LeastSquares::normal_equations}) {
    ArFit fit = fit_ar_least_squares(m.inputs, m.targets, how);
    check_close(fit.coefficients, {0.0274194, -0.827419}, 1e-6);
    check_close(fit.intercept, {0.473065}, 1e-6);
    CHECK(squared_error(fit(m.inputs), m.targets) == doctest::Approx(0.0338817).epsilon(1e-5));
  }
  manual_seed(1);
  ArNet net({.order = 2});
  net.to(f64);
  Generator g(2);
  train_ar_net(net, m.inputs, m.targets, {.epochs = 1500, .batch = 6, .lr = 0.03, .decay = 0.996}, g);
  check_close(net.coefficients(), {0.0274194, -0.827419}, 1e-4);
  check_close(net.intercept(), {0.473065}, 1e-4);
  CHECK(squared_error(net(m.inputs), m.targets) == doctest::Approx(0.0338817).epsilon(1e-5));
}

TEST_CASE("ar_net: least squares for several steps at once is least squares for each") {
  Generator g(3);
  Tensor y = simulate_ar(tensor({.5, -.2}, f64), 200, g);
  data::LagMatrix three = data::make_lag_matrix(y, 4, 3);
  ArFit all = fit_ar_least_squares(three.inputs, three.targets),
        fast = fit_ar_least_squares(three.inputs, three.targets, LeastSquares::normal_equations);
  CHECK(all.coefficients.shape() == Shape{3, 4});
  for (int64_t k = 0; k < 3; ++k) {
    ArFit one = fit_ar_least_squares(three.inputs, narrow(three.targets, 1, k, 1));
    check_close(select(all.coefficients, 0, k) - select(one.coefficients, 0, 0), {0, 0, 0, 0}, 1e-12);
  }
  CHECK(amax(abs(all.coefficients - fast.coefficients)).item() < 1e-10);
  CHECK_THROWS_WITH_AS(fit_ar_least_squares(zeros({3, 4}), zeros({3, 1})),
                       "fit_ar_least_squares: 3 rows do not determine 4 coefficients and an intercept", ValueError);
  CHECK_THROWS_AS(fit_ar_least_squares(zeros({9, 2}), zeros({9, 1})), ValueError);
  CHECK_THROWS_WITH_AS(fit_ar_least_squares(zeros({9, 2}), zeros({8, 1})),
                       "fit_ar_least_squares: lags [n, p] and targets [n, h] do not fit: [9, 2] and [8, 1]", ShapeError);
}

TEST_CASE("ar_net: an undamped sinusoid gives its two coefficients, lag 1 first") {
  std::vector<double> y;
  for (int t = 0; t < 160; ++t) y.push_back(std::sin(t + 0.3));
  data::LagMatrix m = data::make_lag_matrix(from_vector(y), 2);
  manual_seed(4);
  ArNet net({.order = 2});
  net.to(f64);
  Generator g(5);
  train_ar_net(net, m.inputs, m.targets, {.epochs = 250, .batch = 32, .lr = 0.03, .decay = 0.98}, g);
  check_close(net.coefficients(), {2 * std::cos(1.0), -1}, 1e-3);
  CHECK(std::abs(net.intercept().item()) < 1e-3);
}

TEST_CASE("ar_net: without a penalty the weights are least squares' to 0.01 at the true order, and to 0.02 at one far too large") {
  Generator g(20);
  Tensor truth = tensor({.2, .3, -.5}, f64);
  for (auto [order, tolerance] : {std::pair<int64_t, double>{3, 0.01}, {20, 0.02}}) {
    TimeSplit s = split_in_time(simulate_ar(truth, 1000, g), order, 999);
    manual_seed(21);
    ArNet net = trained(s, {.epochs = 80, .batch = 32, .lr = 5e-3, .decay = 0.94});
    Tensor exact = fit_ar_least_squares(s.train_lags, s.train_targets).coefficients;
    CHECK(amax(abs(to(net.coefficients(), f64) - exact)).item() < tolerance);
  }
}

TEST_CASE("ar_net: with every lag expected to count, training is the unregularised one bit by bit") {
  Generator g(6);
  data::LagMatrix m = data::make_lag_matrix(to(simulate_ar(tensor({.5, -.2}, f64), 300, g), f32), 5);
  auto weights = [&](Penalty penalty) {
    manual_seed(7);
    ArNet net({.order = 5});
    Generator order(8);
    train_ar_net(net, m.inputs, m.targets,
                 {.epochs = 3, .batch = 32, .lr = 0.01, .penalty = penalty, .lambda = ar_lambda(1, 0.02), .ramp_epochs = 0}, order);
    return to_vector(net.coefficients());
  };
  CHECK(weights(Penalty::sparsity) == weights(Penalty::none));
}

TEST_CASE("ar_net: the first epoch is not regularised, the ramp is over when it says") {
  Generator g(9);
  data::LagMatrix m = data::make_lag_matrix(to(simulate_ar(tensor({.5}, f64), 100, g), f32), 3);
  auto weights = [&](Penalty penalty, int64_t epochs, double ramp) {
    manual_seed(7);
    ArNet net({.order = 3});
    Generator order(8);
    train_ar_net(net, m.inputs, m.targets, {.epochs = epochs, .lr = 0.01, .penalty = penalty, .lambda = 1, .ramp_epochs = ramp}, order);
    return to_vector(net.coefficients());
  };
  CHECK(weights(Penalty::sparsity, 1, 10) == weights(Penalty::none, 1, 10));
  CHECK(weights(Penalty::sparsity, 2, 10) != weights(Penalty::none, 2, 10));
  CHECK(weights(Penalty::sparsity, 2, 0) != weights(Penalty::sparsity, 2, 10));
}

TEST_CASE("ar_net: the penalty finds the three lags among twenty that least squares spreads over all") {
  Generator g(10);
  Tensor truth = tensor({.2, 0., .3, 0., 0., 0., 0., 0., 0., -.5}, f64);
  TimeSplit s = split_in_time(simulate_ar(truth, 2000, g), 20, 1999);
  ArTraining t{
      .epochs = 40, .batch = 32, .lr = 4e-3, .decay = 0.9, .penalty = Penalty::sparsity, .lambda = ar_lambda(0.15, 0.1), .ramp_epochs = 13};
  manual_seed(11);
  ArNet net = trained(s, t);
  std::vector<double> w = to_vector(net.coefficients());
  for (size_t k = 0; k < w.size(); ++k) {
    CAPTURE(k);
    bool true_lag = k == 0 || k == 2 || k == 9;
    CHECK((std::abs(w[k]) > 0.1) == true_lag);
    if (!true_lag) CHECK(std::abs(w[k]) < 0.05);
  }
  double of_least_squares = stpe(fit_ar_least_squares(s.train_lags, s.train_targets).coefficients, truth);
  CHECK(stpe(net.coefficients(), truth) < of_least_squares / 2);
}

TEST_CASE("ar_net: the second version of the code, several steps and hidden layers train") {
  Generator g(12);
  data::LagMatrix m = data::make_lag_matrix(to(simulate_ar(tensor({.6, -.3}, f64), 400, g), f32), 6, 2);
  manual_seed(13);
  for (const std::vector<int64_t>& hidden : {std::vector<int64_t>{}, {6}}) {
    ArNet net({.order = 6, .horizon = 2, .hidden = hidden});
    ArTraining t = second_version(0.03);
    t.lambda = 0.01;
    CHECK(t.form.c1 == 2);
    double before = squared_error(net(m.inputs), m.targets);
    int64_t epochs = 0;
    t.each_epoch = [&](int64_t epoch) { epochs = epoch; };
    train_ar_net(net, m.inputs, m.targets, t, g);
    CHECK(epochs == 20);
    CHECK(net(m.inputs).shape() == Shape{m.rows(), 2});
    CHECK(squared_error(net(m.inputs), m.targets) < before);
    CHECK(net.lag_weight().shape() == (hidden.empty() ? Shape{2, 6} : Shape{6, 6}));
    CHECK(net.lags_used(0) == 6);
    CHECK(net.lags_used(1e3) == 0);
    if (!hidden.empty())
      CHECK_THROWS_WITH_AS(net.coefficients(), "ar_net: a network with hidden layers has no coefficients of lags", ValueError);
  }
  CHECK(ArNetConfig::from_json(ArNetConfig{.order = 7, .hidden = {3}}.to_json()).hidden == std::vector<int64_t>{3});
}

TEST_CASE("ar_net: what is stationary, random coefficients, and series of the right spread") {
  CHECK(is_stationary(tensor({.2, .3, -.5}, f64)));
  CHECK(is_stationary(tensor({.2, 0., .3, 0., 0., 0., 0., 0., 0., -.5}, f64)));
  CHECK_FALSE(is_stationary(tensor({1.0}, f64)));
  CHECK_FALSE(is_stationary(tensor({2 * std::cos(1.0), -1.0}, f64)));  // undamped
  CHECK(is_stationary(tensor({1.9 * std::cos(1.0), -0.9025}, f64)));   // roots at 0.95 e^{±i}
  CHECK_FALSE(is_stationary(tensor({0.5, 0.6}, f64)));                 // a real root beyond 1
  Generator g(14);
  for (int64_t order : {1, 3, 8}) {
    Tensor w = random_ar_coefficients(order, g);
    CHECK(is_stationary(w));
    CHECK(std::abs(sum(w).item()) < 1e-12);
  }
  Tensor y = simulate_ar(tensor({0.8}, f64), 20'000, g, {.noise = 0.5});
  CHECK(std::abs(mean(y).item()) < 1e-12);
  CHECK(var(y).item() == doctest::Approx(0.25 / (1 - 0.64)).epsilon(0.1));  // five deviations of the estimate: about 0.1
  CHECK_THROWS_WITH_AS(simulate_ar(tensor({1.1}, f64), 10, g), "simulate_ar: the process is not stationary", ValueError);
  CHECK_THROWS_AS(simulate_ar(tensor({0.1}, f64), 0, g), ValueError);
  CHECK_THROWS_AS(random_ar_coefficients(0, g), ValueError);
}

TEST_CASE("ar_net: splits in time and what does not fit") {
  Tensor y = tensor({0., 1., 2., 3., 4., 5., 6., 7.}, f64);
  TimeSplit s = split_in_time(y, 2, 6);
  CHECK(to_vector(s.train_targets) == std::vector<double>{2, 3, 4, 5});
  CHECK(to_vector(s.test_targets) == std::vector<double>{6, 7});
  CHECK(to_vector(s.test_lags) == std::vector<double>{5, 4, 6, 5});
  ArNet net({.order = 3});
  CHECK_THROWS_WITH_AS(net(zeros({2, 4})), "ar_net: takes lags [B, 3], got [2, 4]", ShapeError);
  CHECK_THROWS_WITH_AS(ArNet({.order = 0}), "ar_net: order must be at least 1, it is 0", ConfigError);
  CHECK_THROWS_AS(ArNet({.order = 2, .hidden = {0}}), ConfigError);
  Generator g(15);
  CHECK_THROWS_WITH_AS(train_ar_net(net, zeros({0, 3}), zeros({0, 1}), {}, g), "ar_net: there are no rows to train on", ValueError);
  CHECK_THROWS_WITH_AS(train_ar_net(net, zeros({4, 3}), zeros({4, 1}), {.batch = 0}, g),
                       "ar_net: epochs and batch must be at least 1, they are 10 and 0", ValueError);
  CHECK_THROWS_WITH_AS(train_ar_net(net, zeros({4, 3}), zeros({4, 1}), {.lambda = -1}, g), "ar_net: lambda must not be negative, it is -1",
                       ValueError);
  CHECK_THROWS_AS(ar_sparsity_penalty(zeros({2}), {.c2 = 0}), ValueError);
  CHECK_THROWS_AS(power_penalty(zeros({2}), 2), ValueError);
}

TEST_CASE("ar_net: the experiment measures every variant at the smoke budget") {
  methods::Results results =
      methods::run_experiment({"time_series", "ar_net", &experiment, {}}, {.budget = methods::Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == 8);
  for (const auto& cell : results.cells) {
    CAPTURE(cell.variant);
    auto m = metrics_of(cell);
    CHECK(m["sTPE, p = 20, N = 1,000"] > 0);
    CHECK(m["sTPE, p = 20, N = 1,000"] < 100);
    CHECK(m["test MSE, p = 20, N = 20,000"] < 2.5);
    CHECK(m["test MSE, p = 20, N = 20,000"] > 0.5);
    if (cell.variant.starts_with("least"))
      CHECK(m["largest |w − least squares|, p = 3"] == 0);
    else
      CHECK(m["largest |w − least squares|, p = 3"] > 0);
    CHECK(m["largest |w − least squares|, p = 3"] < 0.1);
    if (cell.variant == "least squares") CHECK(m["‖w − least squares‖, p = 20"] < 1e-9);
    if (cell.variant == "AR-Net, c = 0.2") CHECK(m["‖w − least squares‖, p = 20"] > 0.01);
  }
}

TEST_CASE("ar_net: the experiment on long series runs on made-up ones, with gaps") {
  methods::Results results = methods::run_experiment({"time_series", "ar_net_series", &methods::ar_net_series::experiment, {}},
                                                     {.budget = methods::Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == 6);
  double of_last = metrics_of(results.cells[0])["test MSE, temperatures"];
  for (const auto& cell : results.cells) {
    CAPTURE(cell.variant);
    auto m = metrics_of(cell);
    CHECK(m["training windows, all three series"] < 3 * (320 - 24));  // windows with gaps are left out
    for (const char* of : {"temperatures", "sunspots", "pollution"}) CHECK(std::isfinite(m[std::string("test MSE, ") + of]));
    if (cell.variant == "least squares") CHECK(m["test MSE, temperatures"] < of_last);
    if (cell.variant == "last value")
      CHECK(m["lags above 0.01, sunspots"] == 1);
    else
      CHECK(m["lags above 0.01, sunspots"] <= 24);
  }
}

TEST_CASE("ar_net: the experiment on time states an exponent for both") {
  methods::Results results = methods::run_experiment({"time_series", "ar_net_scaling", &methods::ar_net_scaling::experiment, {}},
                                                     {.budget = methods::Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == 2);
  for (const auto& cell : results.cells) {
    auto m = metrics_of(cell);
    CHECK(std::isfinite(m["exponent, order 100 and up"]));
    CHECK(m["seconds, smallest order"] > 0);
    CHECK(m["test MSE, largest order"] < 3);
    CHECK(cell.measured.curves.size() == 1);
    CHECK(cell.measured.curves[0].x.size() == 3);
  }
}
