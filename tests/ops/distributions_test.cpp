// Draws from the gamma family and Poisson: distributions, determinism, parameters that broadcast, errors. Seeds are fixed; bounds are those
// that a right generator misses once in a thousand seeds.
#include "ops/distributions.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "engine/core/parallel.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/ops/samples.h"

using namespace plumb;

namespace {

constexpr double kKsBound = 1.95;
// √n times the largest distance between the sample's distribution function and F.
double ks(const Tensor& sample, const std::function<double(double)>& F) {
  std::vector<double> x = to_vector(sample);
  std::sort(x.begin(), x.end());
  double n = static_cast<double>(x.size()), d = 0;
  for (size_t i = 0; i < x.size(); ++i) d = std::max({d, static_cast<double>(i + 1) / n - F(x[i]), F(x[i]) - static_cast<double>(i) / n});
  return d * std::sqrt(n);
}

// P(a, x) by its series, term by term.
double gamma_cdf(double a, double x) {
  double term = 1 / a, sum = term;
  for (int n = 1; n < 500; ++n) sum += term *= x / (a + n);
  return sum * std::exp(a * std::log(x) - x - std::lgamma(a));
}

RandomOptions in(DType t, Generator& g) { return {t, {}, &g}; }

// Σ (observed − expected)² / expected over the counts first … last and all others together, less its mean, in standard deviations.
double poisson_deviation(const Tensor& draws, double rate, int64_t first, int64_t last) {
  auto bins = static_cast<size_t>(last - first + 1);
  std::vector<double> observed(bins + 1), expected(bins + 1);
  for (double k : to_vector(draws)) {
    auto count = static_cast<int64_t>(k);
    ++observed[count < first || count > last ? bins : static_cast<size_t>(count - first)];
  }
  double n = static_cast<double>(draws.numel()), chi = 0;
  expected[bins] = n;
  for (size_t i = 0; i < bins; ++i) {
    double k = static_cast<double>(first) + static_cast<double>(i);
    expected[i] = n * std::exp(k * std::log(rate) - rate - std::lgamma(k + 1));
    expected[bins] -= expected[i];
  }
  for (size_t i = 0; i <= bins; ++i) chi += (observed[i] - expected[i]) * (observed[i] - expected[i]) / expected[i];
  return (chi - static_cast<double>(bins)) / std::sqrt(2 * static_cast<double>(bins));
}

}  // namespace

TEST_CASE("gamma: small, unit and large concentrations have their distribution, in every type") {
  Generator g(1);
  for (double a : {0.05, 0.3, 1.0, 2.5, 40.0}) {
    CAPTURE(a);
    CHECK(ks(gamma({20000}, a, 1, in(f64, g)), [&](double x) { return gamma_cdf(a, x); }) < kKsBound);
    CHECK(ks(gamma({20000}, a, 4, in(f32, g)), [&](double x) { return x == 0 ? 0.5 * gamma_cdf(a, 1e-45) : gamma_cdf(a, 4 * x); }) <
          kKsBound);
  }
  Tensor half = gamma({5000}, 3, 2, in(f16, g));
  CHECK(half.dtype() == f16);
  CHECK(mean(to(half, f64)).item() == doctest::Approx(1.5).epsilon(0.04));
  CHECK(gamma({4}, 1e-4, 1, in(f64, g)).numel() == 4);
  CHECK(min(gamma({2000}, 1e-4, 1, in(f64, g))).item() >= 0);
}

TEST_CASE("gamma: parameters broadcast, element by element") {
  Generator g(2);
  Tensor a = tensor({{0.5}, {3.0}}, f64), rate = tensor({1.0, 10.0, 0.1}, f64);
  Tensor y = gamma(expand(unsqueeze(a, 0), {20000, 2, 1}), rate, &g);
  CHECK(y.shape() == Shape{20000, 2, 3});
  CHECK(g.offset() == 120000);  // a counter a number
  Tensor expected = a / rate, deviation = sqrt(a) / rate;
  CHECK(max(abs(mean(y, {0}) - expected) / deviation).item() < 4.0 / std::sqrt(20000));
  CHECK(test::difference(std_dev(y, {0}), deviation) < 0.05);
  CHECK(gamma(tensor({2.0f, 3.0f}), tensor({1.0, 2.0}, f64)).dtype() == f64);
}

TEST_CASE("beta: closed distribution functions, and tiny parameters at both ends") {
  Generator g(3);
  CHECK(ks(beta({20000}, 2, 3, in(f64, g)), [](double x) { return x * x * (6 - 8 * x + 3 * x * x); }) < kKsBound);
  CHECK(ks(beta({20000}, 0.5, 0.5, in(f64, g)), [](double x) { return 2 / M_PI * std::asin(std::sqrt(x)); }) < kKsBound);
  CHECK(ks(beta({20000}, 1, 7, in(f32, g)), [](double x) { return 1 - std::pow(1 - x, 7); }) < kKsBound);
  Tensor ends = beta({20000}, 1e-3, 3e-3, in(f64, g));
  CHECK(all(isfinite(ends)).item() == 1);
  CHECK(mean(ends).item() == doctest::Approx(0.25).epsilon(0.05));
  CHECK(mean(to(beta(full({5000}, 4.0), full({5000}, 4.0), &g), f64)).item() == doctest::Approx(0.5).epsilon(0.02));
}

TEST_CASE("dirichlet: rows sum to one, and a component is a beta") {
  Generator g(4);
  Tensor x = dirichlet(expand(tensor({2.0, 1.0, 2.0}, f64), {20000, 3}), &g);
  CHECK(test::difference(sum(x, {1}), ones({20000}, f64)) < 1e-14);
  CHECK(ks(select(x, 1, 0), [](double v) { return v * v * (6 - 8 * v + 3 * v * v); }) < kKsBound);  // Beta(2, 3)
  CHECK(ks(select(x, 1, 1), [](double v) { return 1 - std::pow(1 - v, 4); }) < kKsBound);            // Beta(1, 4)
  Tensor sparse = dirichlet(full({500, 10}, 1e-3), &g);  // nearly all of the mass at one place: no NaN where all gammas underflow
  CHECK(all(isfinite(sparse)).item() == 1);
  CHECK(mean(amax(sparse, {1})).item() > 0.98);
  CHECK(dirichlet(full({2, 4}, 1.0, bf16), &g).dtype() == bf16);
  CHECK(dirichlet(zeros({0, 3}), &g).shape() == Shape{0, 3});
}

TEST_CASE("poisson: counts below and above the change of method have their probabilities") {
  Generator g(5);
  for (double rate : {0.2, 3.5, 9.9}) {
    CAPTURE(rate);
    auto last = static_cast<int64_t>(rate + 2 * std::sqrt(rate));
    CHECK(std::abs(poisson_deviation(poisson({50000}, rate, in(f64, g)), rate, 0, last)) < 4);
  }
  for (double rate : {10.0, 25.0, 300.0}) {
    CAPTURE(rate);
    auto from = static_cast<int64_t>(rate - 2 * std::sqrt(rate)), to_count = static_cast<int64_t>(rate + 2 * std::sqrt(rate));
    CHECK(std::abs(poisson_deviation(poisson({50000}, rate, in(f64, g)), rate, from, to_count)) < 4);
  }
  Tensor large = poisson({20000}, 1e7, in(f64, g));
  CHECK(mean(large).item() == doctest::Approx(1e7).epsilon(4 / std::sqrt(1e7 * 20000)));
  CHECK(std_dev(large).item() == doctest::Approx(std::sqrt(1e7)).epsilon(0.03));
  CHECK(max(poisson({100}, 0, in(f64, g))).item() == 0);
  Tensor rates = tensor({{0.0, 1.0}, {20.0, 400.0}}, f64), mean_of = mean(poisson(expand(rates, {20000, 2, 2}), &g), {0});
  CHECK(test::difference(mean_of, rates) < 0.05);
  CHECK(poisson(ones({3}, f16), &g).dtype() == f16);
}

TEST_CASE("distributions: the same numbers with any number of threads, and from a place in the stream") {
  int before = num_threads();
  std::vector<Tensor> one, three;
  for (auto [threads, out] : {std::pair{1, &one}, {3, &three}}) {
    set_num_threads(threads);
    Generator g(9);
    *out = {gamma({30001}, 0.4, 1, in(f64, g)), beta({30001}, 0.4, 2, in(f32, g)), dirichlet(full({3001, 3}, 0.7), &g),
            poisson({30001}, 12, in(f32, g))};
  }
  set_num_threads(before);
  for (size_t i = 0; i < one.size(); ++i) CHECK(test::same_bits(one[i], three[i]));
  Generator g(9), h(9);
  h.set_state(9, 5);
  CHECK(test::same_bits(slice(gamma({12}, 0.4, 1, in(f64, g)), 0, 5), gamma({7}, 0.4, 1, in(f64, h))));
}

TEST_CASE("distributions: what cannot be is named, and takes no numbers") {
  Generator g(1);
  Tensor bad = tensor({1.0, -2.0}, f64);
  CHECK_THROWS_WITH_AS(gamma(bad, ones({2}, f64), &g), "gamma: concentration -2 (element 1) is not positive and finite", ValueError);
  CHECK_THROWS_WITH_AS(gamma(ones({2}, f64), bad * 0, &g), "gamma: rate 0 (element 0) is not positive and finite", ValueError);
  CHECK_THROWS_WITH_AS(gamma({2}, NAN, 1, in(f32, g)), "gamma: concentration nan (element 0) is not positive and finite", ValueError);
  CHECK_THROWS_WITH_AS(beta(ones({2}, f64), bad, &g), "beta: b -2 (element 1) is not positive and finite", ValueError);
  CHECK_THROWS_WITH_AS(beta({1}, 0, 1, in(f32, g)), "beta: a 0 (element 0) is not positive and finite", ValueError);
  CHECK_THROWS_WITH_AS(dirichlet(bad, &g), "dirichlet: concentration -2 (element 1) is not positive and finite", ValueError);
  CHECK_THROWS_WITH_AS(dirichlet(scalar_tensor(1.0, f64), &g), "dirichlet: needs a dimension of classes, the shape is []", ShapeError);
  CHECK_THROWS_WITH_AS(poisson(bad, &g), "poisson: rate -2 (element 1) is not finite and not negative", ValueError);
  CHECK_THROWS_WITH_AS(poisson({1}, 1, in(i64, g)), "poisson: gives floating tensors, not i64", DTypeError);
  CHECK_THROWS_AS(gamma(ones({2}), ones({3}), &g), ShapeError);
  CHECK(g.offset() == 0);
}
