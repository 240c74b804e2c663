// Incomplete gamma functions against closed forms, against plain integration, and where the two ways of computing them meet.
#include "ops/incomplete_gamma.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "engine/autograd/backward.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "tests/ops/samples.h"

using namespace plumb;

namespace {

double p(double a, double x) { return igamma(scalar_tensor(a, f64), scalar_tensor(x, f64)).item(); }
double q(double a, double x) { return igammac(scalar_tensor(a, f64), scalar_tensor(x, f64)).item(); }

// ∫₀ˣ t^(a − 1) e^(−t) dt / Γ(a) by Simpson's rule; below a = 1, where the integrand is infinite at 0, as x^a / Γ(a + 1) ∫₀¹ e^(−t) ds with
// t = x s^(1/a).
double integrated(double a, double x) {
  auto f = [&](double s) { return a < 1 ? std::exp(-x * std::pow(s, 1 / a)) : std::exp((a - 1) * std::log(std::max(s, 1e-300)) - x * s); };
  constexpr int n = 20000;
  double sum = f(0) + f(1);
  for (int i = 1; i < n; ++i) sum += f(i / double(n)) * (i % 2 ? 4 : 2);
  return sum / (3 * n) * std::exp(a * std::log(x) - std::lgamma(a < 1 ? a + 1 : a));
}

bool close(double value, double expected, double relative) { return std::abs(value - expected) <= relative * std::abs(expected); }

}  // namespace

TEST_CASE("igamma: closed forms for a = 1, ½ and whole numbers") {
  for (double x : {1e-8, 0.01, 0.3, 1.0, 1.9, 2.1, 5.0, 20.0, 100.0}) {
    CAPTURE(x);
    CHECK(close(p(1, x), -std::expm1(-x), 1e-14));
    CHECK(close(q(1, x), std::exp(-x), 1e-14));
    CHECK(close(p(0.5, x), std::erf(std::sqrt(x)), 1e-14));
    CHECK(close(q(0.5, x), std::erfc(std::sqrt(x)), x < 1 ? 1e-14 : 4e-14));
    double term = 1, sum = 1;  // Q(7, x) = e^(−x) Σ_{k < 7} xᵏ / k!
    for (int k = 1; k < 7; ++k) sum += term *= x / k;
    CHECK(close(q(7, x), std::exp(-x) * sum, 4e-14));
  }
}

TEST_CASE("igamma: plain integration, also for large a and where series and fraction meet") {
  for (auto [a, x] : {std::pair{0.3, 0.2}, {0.3, 1.29}, {0.3, 1.31}, {2.5, 3.4}, {2.5, 3.6}, {2.5, 9.0}, {30.0, 25.0}, {30.0, 40.0}}) {
    CAPTURE(a);
    CAPTURE(x);
    CHECK(close(p(a, x), integrated(a, x), 1e-9));
    CHECK(p(a, x) + q(a, x) == doctest::Approx(1).epsilon(1e-15));
  }
  for (double a : {9.999999, 10.000001, 50.0, 1e4, 1e8}) {
    CAPTURE(a);
    CHECK(std::abs(p(a, a + 1 - 1e-9 * a) - p(a, a + 1 + 1e-9 * a)) < 1e-8 * std::sqrt(a) * 2);  // a slope of at most 0.4/√a
    CHECK(p(a, a) == doctest::Approx(0.5 + 1 / (3 * std::sqrt(2 * M_PI * a))).epsilon(1e-3 / a));
  }
  CHECK(close(q(3, 700), std::exp(-700.0) * (1 + 700 + 245000), 1e-12));
  CHECK(close(p(20, 1e-3), std::exp(20 * std::log(1e-3) - std::lgamma(21.0)) * (1 - 1e-3 * 20 / 21), 1e-6));
}

TEST_CASE("igamma: ends and what is not in the domain") {
  CHECK(p(2, 0) == 0);
  CHECK(q(2, 0) == 1);
  CHECK(p(2, INFINITY) == 1);
  CHECK(q(2, INFINITY) == 0);
  CHECK(p(0, 1) == 1);
  CHECK(q(0, 1) == 0);
  CHECK(p(INFINITY, 1) == 0);
  for (auto [a, x] :
       {std::pair{-1.0, 1.0}, {1.0, -1.0}, {0.0, 0.0}, {double(NAN), 1.0}, {1.0, double(NAN)}, {double(INFINITY), double(INFINITY)}}) {
    CHECK(std::isnan(p(a, x)));
    CHECK(std::isnan(q(a, x)));
  }
  CHECK(igamma(zeros({0, 3}), ones({3})).shape() == Shape{0, 3});
  CHECK(igamma(ones({2, 1}), ones({3})).dtype() == f32);
  CHECK(igammac(ones({2}, bf16), ones({2}, bf16)).dtype() == bf16);
  CHECK_THROWS_WITH_AS(igamma(ones({2}, i64), ones({2})), "igamma: does not take i64 tensors", DTypeError);
  CHECK_THROWS_AS(igammac(ones({2}), ones({3})), ShapeError);
}

TEST_CASE("igamma: the derivative in x is the density, those in a agree with differences up to the third") {
  Tensor a = tensor({0.7, 2.0, 5.0, 12.0}, f64).requires_grad_(), x = tensor({0.4, 4.0, 3.0, 14.0}, f64).requires_grad_();
  std::vector<Tensor> g = grad({igamma(a, x)}, {a, x}, {.create_graph = true}, {ones({4}, f64)});
  Tensor density = exp((a - 1) * log(x) - x - lgamma(a));
  CHECK(test::difference(g[1], density) < 1e-13);
  auto first = [&](double h) { return (to_vector(igamma(a + h, x))); };
  std::vector<double> up = first(1e-5), down = first(-1e-5), at = to_vector(g[0]);
  for (size_t i = 0; i < 4; ++i) CHECK(at[i] == doctest::Approx((up[i] - down[i]) / 2e-5).epsilon(1e-8));
  Tensor second = grad({g[0]}, {a}, {.create_graph = true}, {ones({4}, f64)})[0];
  Tensor third = grad({second}, {a}, {.create_graph = true}, {ones({4}, f64)})[0];
  auto second_at = [&](double h) {
    Tensor moved = (a.detach() + h).requires_grad_();
    Tensor d = grad({igamma(moved, x)}, {moved}, {.create_graph = true}, {ones({4}, f64)})[0];
    return to_vector(grad({d}, {moved}, {}, {ones({4}, f64)})[0]);
  };
  std::vector<double> higher = second_at(1e-5), lower = second_at(-1e-5), slope = to_vector(third);
  for (size_t i = 0; i < 4; ++i) CHECK(slope[i] == doctest::Approx((higher[i] - lower[i]) / 2e-5).epsilon(1e-6));
  CHECK_THROWS_WITH_AS(sum(third).backward(), "igamma: the fourth derivative in a is not there", AutogradError);
}
