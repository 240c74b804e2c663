// Hessian alignment: worked numbers, what penalties must not do, and the experiment in small.
#include "methods/robust/hessian_alignment/hessian_alignment.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/autograd/backward.h"
#include "methods/runner.h"
#include "ops/gradcheck.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/methods/measured.h"

using namespace plumb;
using namespace plumb::methods;
using namespace plumb::methods::hessian_alignment;

namespace {

// The worked example: a binary head and two environments.
struct Worked {
  Tensor weight = tensor({{0.4, -0.3}}, f64).requires_grad_(), bias = tensor({0.1}, f64).requires_grad_();
  Tensor x1 = tensor({{1.0, 0.0}, {0.5, -1.0}, {-1.0, 0.5}}, f64), y1 = tensor({1, 0, 0});
  Tensor x2 = tensor({{0.0, 1.0}, {1.0, 1.0}, {-0.5, -1.0}, {0.2, 0.4}}, f64), y2 = tensor({1, 1, 0, 0});
  HeadStatistics first{x1, y1, weight, bias}, second{x2, y2, weight, bias};
  std::vector<HeadStatistics> both{first, second};
};

void check_close(const Tensor& x, const std::vector<double>& expected, double relative = 1e-5) {
  std::vector<double> values = to_vector(x);
  REQUIRE(values.size() == expected.size());
  for (size_t i = 0; i < values.size(); ++i) CHECK(values[i] == doctest::Approx(expected[i]).epsilon(relative));
}

std::vector<double> gradient_of(const Tensor& penalty, const Worked& w) {
  std::vector<Tensor> g = grad({penalty}, {w.weight, w.bias}, {.retain_graph = true});
  std::vector<double> all = to_vector(g[0]);
  all.push_back(g[1].item());
  return all;
}

void check_close(const std::vector<double>& values, const std::vector<double>& expected, double relative = 1e-5) {
  check_close(from_vector(values), expected, relative);
}

}  // namespace

TEST_CASE("hessian_alignment: worked numbers of a binary head") {
  Worked w;
  CHECK(w.first.loss().item() == doctest::Approx(0.668271).epsilon(1e-6));
  CHECK(w.second.loss().item() == doctest::Approx(0.729503).epsilon(1e-6));
  check_close(w.first.gradient(), {-0.148024, -0.150325, 0.219159});
  check_close(w.second.gradient(), {-0.155521, -0.335959, 0.0162074});
  check_close(w.first.hessian(), {0.176653, -0.0777572, 0.0372123, -0.0777572, 0.0960747, -0.0366349, 0.0372123, -0.0366349, 0.233849});
  check_close(w.second.hessian_diagonal(), {0.0798467, 0.195628, 0.248081});
  check_close(w.first.hvp(w.first.gradient()), {-0.00630467, -0.0109614, 0.0512489});
  check_close(w.second.hvp(w.second.gradient()), {-0.0445755, -0.0795276, -0.0319135});
  Tensor mean_gradient = (w.first.gradient() + w.second.gradient()) / 2;
  check_close((w.first.hvp(mean_gradient) + w.second.hvp(mean_gradient)) / 2, {-0.0171582, -0.0340296, 0.0161325});

  CHECK(hgp_penalty(w.both, {.beta = 0}).item() == doctest::Approx(0.00350665).epsilon(1e-5));
  CHECK(hgp_penalty(w.both, {.alpha = 0}).item() == doctest::Approx(0.0189263).epsilon(1e-5));
  CHECK(diagonal_penalty(w.both, {.beta = 0}).item() == doctest::Approx(0.00487124).epsilon(1e-5));
  CHECK(hgp_penalty(w.both).item() == doctest::Approx(0.0224330).epsilon(1e-5));
  CHECK(hgp_penalty(w.both, {.sum = true}).item() == doctest::Approx(2 * 0.0224330).epsilon(1e-5));
  check_close(gradient_of(hgp_penalty(w.both), w), {-0.0196548, -0.0281773, -0.0172564});
  check_close(gradient_of(hgp_penalty(w.both, {.stop_gradient = false}), w), {-0.0190394, -0.0274827, -0.0159205});

  Tensor difference = (w.first.hessian() - w.second.hessian()).detach();
  CHECK(spectral_norm_of_symmetric(difference) == doctest::Approx(0.254197).epsilon(1e-5));
  CHECK(norm(difference).item() == doctest::Approx(0.334235).epsilon(1e-5));
  Tensor mean_hessian = ((w.first.hessian() + w.second.hessian()) / 2).detach();
  CHECK(hessian_distance(w.both) == doctest::Approx(0.254197 / spectral_norm_of_symmetric(mean_hessian)).epsilon(1e-5));
}

TEST_CASE("hessian_alignment: worked numbers of a softmax head without a bias") {
  HeadStatistics s(tensor({{1.0, 2.0}, {-1.0, 0.5}}, f64), tensor({0, 2}), tensor({{0.2, -0.1}, {0.0, 0.3}, {-0.2, 0.1}}, f64));
  check_close(s.gradient(), {-0.489940, -0.677986, 0.0582167, 0.566804, 0.431723, 0.111182});
  check_close(s.hvp(s.gradient()), {-0.297128, -0.538970, 0.176619, 0.469149, 0.120509, 0.0698213});
  check_close(s.hessian_diagonal(), {0.188184, 0.409262, 0.239971, 0.527727, 0.216408, 0.416319});
}

TEST_CASE("hessian_alignment: equal environments and a single one are not penalised, nor is anything without weight") {
  Worked w;
  std::vector<HeadStatistics> equal{w.first, w.first};
  for (bool stop : {true, false}) {
    AlignmentOptions options{.stop_gradient = stop};
    CHECK(hgp_penalty(equal, options).item() == 0);
    CHECK(diagonal_penalty(equal, options).item() == 0);
    for (double g : gradient_of(hgp_penalty(equal, options), w)) CHECK(g == 0);
    for (double g : gradient_of(diagonal_penalty(equal, options), w)) CHECK(g == 0);
    CHECK(hgp_penalty({w.first}, options).item() == 0);
    CHECK(diagonal_penalty({w.second}, options).item() == 0);
  }
  CHECK(hessian_distance(equal) == 0);
  CHECK(hessian_distance({w.first}) == 0);
  // α = β = 0: the objective is the mean of the losses, gradient and all.
  Tensor nothing = hgp_penalty(w.both, {.alpha = 0, .beta = 0});
  CHECK(nothing.item() == 0);
  Tensor erm = (w.first.loss() + w.second.loss()) / 2;
  CHECK(gradient_of(erm + nothing, w) == gradient_of(erm, w));
}

TEST_CASE("hessian_alignment: the order of environments does not matter") {
  Worked w;
  std::vector<HeadStatistics> turned{w.second, w.first};
  for (const AlignmentOptions& options :
       {AlignmentOptions{}, AlignmentOptions{.alpha = 2, .beta = 0.5, .stop_gradient = false, .sum = true}}) {
    CHECK(hgp_penalty(turned, options).item() == doctest::Approx(hgp_penalty(w.both, options).item()).epsilon(1e-14));
    CHECK(diagonal_penalty(turned, options).item() == doctest::Approx(diagonal_penalty(w.both, options).item()).epsilon(1e-14));
    check_close(gradient_of(hgp_penalty(turned, options), w), gradient_of(hgp_penalty(w.both, options), w), 1e-12);
  }
  CHECK(hessian_distance(turned) == doctest::Approx(hessian_distance(w.both)).epsilon(1e-14));
}

TEST_CASE("hessian_alignment: stopping the gradient at the mean gradient changes nothing, at the mean product it does") {
  Worked w;
  auto of = [&](double alpha, double beta, bool stop) {
    return gradient_of(hgp_penalty(w.both, {.alpha = alpha, .beta = beta, .stop_gradient = stop}), w);
  };
  check_close(of(0, 1, true), of(0, 1, false), 1e-12);
  CHECK(std::abs(of(1, 0, true)[0] - of(1, 0, false)[0]) > 1e-4);
}

TEST_CASE("hessian_alignment: penalties reach the features; their derivatives match differences") {
  Worked w;
  Tensor v = tensor({{0.4, -0.3}}, f64), b = tensor({0.1}, f64);
  AlignmentOptions through{.alpha = 1.5, .beta = 0.5, .stop_gradient = false};
  auto heads = [&](const Tensor& x, const Tensor& weight, const Tensor& bias) {
    return std::vector<HeadStatistics>{{x, w.y1, weight, bias}, {w.x2, w.y2, weight, bias}};
  };
  gradcheck([&](const Tensor& x, const Tensor& weight, const Tensor& bias) { return hgp_penalty(heads(x, weight, bias), through); },
            {w.x1, v, b})
      .throw_if_failed();
  gradcheck([&](const Tensor& x, const Tensor& weight, const Tensor& bias) { return diagonal_penalty(heads(x, weight, bias), through); },
            {w.x1, v, b})
      .throw_if_failed();
}

TEST_CASE("hutchinson_penalty: many probes approach the exact diagonal, and its gradient term is exact") {
  Worked w;
  manual_seed(5);
  CHECK(hutchinson_penalty(w.both, 1, {.alpha = 0}).item() == doctest::Approx(hgp_penalty(w.both, {.alpha = 0}).item()).epsilon(1e-14));
  // The estimate's error of an element is about |off-diagonal| · √(2/S): with S = 4,000 below 0.01 where the diagonals differ by 0.1.
  double exact = diagonal_penalty(w.both, {.beta = 0}).item();
  CHECK(hutchinson_penalty(w.both, 4000, {.beta = 0}).item() == doctest::Approx(exact).epsilon(0.25));
  CHECK(hutchinson_penalty({w.first, w.first}, 1, {.beta = 0}).item() > 0);  // independent noise does not cancel
}

TEST_CASE("hessian_alignment: bad input is named") {
  Worked w;
  CHECK_THROWS_WITH_AS(hgp_penalty({}), "hessian_alignment: there are no environments", ValueError);
  CHECK_THROWS_WITH_AS(diagonal_penalty({}), "hessian_alignment: there are no environments", ValueError);
  CHECK_THROWS_WITH_AS(hessian_distance({}), "hessian_alignment: there are no environments", ValueError);
  CHECK_THROWS_WITH_AS(hgp_penalty(w.both, {.alpha = -1}), "hessian_alignment: alpha -1 and beta 1 must not be negative", ValueError);
  CHECK_THROWS_WITH_AS(hgp_penalty(w.both, {.beta = std::nan("")}), "hessian_alignment: alpha 1 and beta nan must not be negative",
                       ValueError);
  CHECK_THROWS_WITH_AS(hutchinson_penalty(w.both, 0), "hutchinson: needs at least 1 probe, not 0", ValueError);
  HeadStatistics other(w.x1, w.y1, w.weight);
  CHECK_THROWS_WITH_AS(hgp_penalty({w.first, other}), "hessian_alignment: heads differ: [1, 3] and [1, 2]", ShapeError);
}

TEST_CASE("hessian_alignment: the experiment runs, and colour alone fools only the mean of the losses") {
  Results results = run_experiment({"robust", "hessian_alignment", &experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  CHECK(results.cells.size() == 10);
  CHECK(measured(results, "ERM", "coloured: train accuracy (%)") > 75);
  CHECK(measured(results, "ERM", "population: test accuracy (%)") == doctest::Approx(10));  // colour: wrong nine times of ten
  CHECK(measured(results, "ERM", "population: train accuracy (%)") == doctest::Approx(85));
  for (const CellResult& cell : results.cells)
    for (const auto& [name, value] : cell.measured.metrics) CHECK_MESSAGE(std::isfinite(value), cell.variant << ": " << name);
}
