// Robust distances: worked values and gradients, the shape of Cauchy's gradient, and no cancellation where r is far below c.
#include <doctest/doctest.h>

#include <cmath>

#include "models/diffusion/consistency.h"
#include "models/diffusion/robust_metric.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::diffusion;

namespace {

constexpr double kC = 0.03;

struct Value {
  double distance;
  std::vector<double> gradient;
};
Value at(RobustMetric kind, SquareReduction reduction, const std::vector<double>& u, const std::vector<double>& v, double c = kC) {
  auto n = static_cast<int64_t>(u.size());
  Tensor a = from_vector(u, {1, n}).requires_grad_();
  Tensor d = robust_metric(kind, a, from_vector(v, {1, n}), c, reduction);
  sum(d).backward();
  return {d.item(), to_vector(a.grad())};
}
void check(const Value& got, double distance, const std::vector<double>& gradient = {}) {
  CHECK(got.distance == doctest::Approx(distance).epsilon(1e-5));
  for (size_t i = 0; i < gradient.size(); ++i) CHECK(got.gradient[i] == doctest::Approx(gradient[i]).epsilon(1e-5));
}

}  // namespace

TEST_CASE("robust_metric: worked values and gradients, without and with an outlier") {
  std::vector<double> u{0.3, -0.2, 0.1}, v{0.1, 0.2, 0}, far{0.3, -0.2, 0.1, 5}, near{0.1, 0.2, 0, 0};
  using enum RobustMetric;
  check(at(cauchy, SquareReduction::sum, u, v), 4.76786, {1.88857, -3.77715, 0.944287});
  check(at(cauchy, SquareReduction::mean, u, v), 3.68610, {1.85701, -3.71402, 0.928505});
  check(at(cauchy, SquareReduction::sum, far, near), 9.54728, {0.0158656, -0.0317312, 0.00793279, 0.396640});
  check(at(pseudo_huber, SquareReduction::sum, far, near), 4.99105, {0.0398323, -0.0796647, 0.0199162, 0.995809});
  check(at(geman_mcclure, SquareReduction::sum, far, near), 1.99971);
  check(at(cauchy, SquareReduction::mean, far, near), 8.16120);
  check(at(pseudo_huber, SquareReduction::mean, far, near), 2.48066);
}

TEST_CASE("robust_metric: Cauchy's gradient is longest at c sqrt 2, and the distance is r²/(2c²) far below c, also in f32") {
  auto length = [](double r) { return std::abs(at(RobustMetric::cauchy, SquareReduction::sum, {r}, {0}).gradient[0]); };
  double peak = length(kC * std::sqrt(2.0));
  CHECK(peak == doctest::Approx(23.5702).epsilon(1e-5));
  CHECK(peak == doctest::Approx(1 / (kC * std::sqrt(2.0))).epsilon(1e-10));
  CHECK(length(kC) < peak);
  CHECK(length(3 * kC) < peak);
  Tensor u = full({1, 1}, 2.5e-4 * 1e-3), v = zeros({1, 1});
  CHECK(robust_metric(RobustMetric::cauchy, u, v, 2.5e-4).item() == doctest::Approx(0.5e-6).epsilon(1e-5));
}

TEST_CASE("elementwise_huber: one distance a number, worked") {
  Tensor u = tensor({{0.3, -0.2, 0.1}}, f64).requires_grad_(), v = tensor({{0.1, 0.2, 0.0}}, f64);
  Tensor d = elementwise_huber(u, v, 0.001);
  CHECK(d.item() == doctest::Approx(0.232336).epsilon(1e-5));
  sum(d).backward();
  std::vector<double> slope{0.333329, -0.333332, 0.333317}, got = to_vector(u.grad());
  for (size_t i = 0; i < 3; ++i) CHECK(got[i] == doctest::Approx(slope[i]).epsilon(1e-5));
}

TEST_CASE("robust_metric: one number an example of any rank, also as a consistency metric; bad input is an error of one line") {
  Tensor u = test::sample({3, 2, 2}, 1), v = test::sample({3, 2, 2}, 2);
  CHECK(robust_metric(RobustMetric::cauchy, u, v, kC).shape() == Shape{3});
  CHECK(test::same_bits(consistency_distances(ConsistencyMetric::cauchy, u, v, kC),
                        robust_metric(RobustMetric::cauchy, u, v, kC, SquareReduction::mean)));
  CHECK(test::same_bits(consistency_distances(ConsistencyMetric::geman_mcclure, u, v, kC),
                        robust_metric(RobustMetric::geman_mcclure, u, v, kC, SquareReduction::mean)));
  CHECK(test::same_bits(consistency_distances(ConsistencyMetric::elementwise_huber, u, v, kC), elementwise_huber(u, v, kC)));
  CHECK_THROWS_WITH_AS(robust_metric(RobustMetric::cauchy, u, v, 0), "robust_metric: c must be positive, it is 0", ValueError);
  CHECK_THROWS_WITH_AS(elementwise_huber(u, test::sample({3, 4}, 1), 1),
                       "elementwise_huber: takes two [B, ..] of one shape, got [3, 2, 2] and [3, 4]", ShapeError);
}
