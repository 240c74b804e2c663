// Mixtures: densities in closed form, a worked fit, growing likelihood, samples, the kinds of covariance.
#include "models/cluster/gaussian_mixture.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numbers>

#include "ops/create.h"
#include "ops/join.h"
#include "ops/matmul.h"
#include "ops/random.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::cluster;

namespace {
GaussianMixture two_in_a_plane() {
  return {tensor({0.3, 0.7}, f64), tensor({{0.0, 0.0}, {1.0, -1.0}}, f64),
          tensor({{{1.0, 0.0}, {0.0, 1.0}}, {{2.0, 0.6}, {0.6, 0.5}}}, f64)};
}
}  // namespace

TEST_CASE("gaussian mixture: densities by their formula") {
  GaussianMixture m = two_in_a_plane();
  Tensor x = tensor({{0.5, -0.2}, {3.0, 1.0}}, f64);
  for (int64_t i = 0; i < 2; ++i) {
    double a = x.data<double>()[2 * i], b = x.data<double>()[2 * i + 1], u = a - 1, v = b + 1, det = 2 * 0.5 - 0.36;
    double first = 0.3 * std::exp(-0.5 * (a * a + b * b)) / (2 * std::numbers::pi);
    double second = 0.7 * std::exp(-0.5 * (0.5 * u * u - 1.2 * u * v + 2 * v * v) / det) / (2 * std::numbers::pi * std::sqrt(det));
    CHECK(m.log_density(x).data<double>()[i] == doctest::Approx(std::log(first + second)).epsilon(1e-12));
    CHECK(m.responsibilities(x).data<double>()[2 * i] == doctest::Approx(first / (first + second)).epsilon(1e-12));
    CHECK(to_vector<int64_t>(m.predict(x))[static_cast<size_t>(i)] == (first > second ? 0 : 1));
  }
}

TEST_CASE("gaussian mixture: eleven scores, worked out independently") {
  Tensor x = tensor({{0.08}, {0.10}, {0.12}, {0.15}, {0.18}, {0.20}, {0.55}, {0.60}, {0.62}, {0.65}, {0.80}}, f64);
  GaussianMixture start{tensor({0.5, 0.5}, f64), tensor({{0.08}, {0.80}}, f64), full({2, 1, 1}, 0.04, f64)};
  MixtureFit fit = fit_mixture(x, start, {.iterations = 1000, .tolerance = 1e-12, .floor = 0});
  CHECK(fit.converged);
  CHECK(to_vector(fit.mixture.means)[0] == doctest::Approx(0.138333).epsilon(1e-5));
  CHECK(to_vector(fit.mixture.means)[1] == doctest::Approx(0.644000).epsilon(1e-5));
  CHECK(std::sqrt(to_vector(fit.mixture.covariances)[0]) == doctest::Approx(0.0426015).epsilon(1e-4));
  CHECK(std::sqrt(to_vector(fit.mixture.covariances)[1]) == doctest::Approx(0.0845284).epsilon(1e-4));
  CHECK(to_vector(fit.mixture.weights)[0] == doctest::Approx(0.545454).epsilon(1e-5));
}

TEST_CASE("gaussian mixture: one component is the mean and the covariance; the likelihood only grows") {
  manual_seed(1);
  Tensor x = randn({50, 3}, {.dtype = f64});
  MixtureFit one = fit_mixture(x, 1, {.floor = 0});
  Tensor m = mean(x, {0}), centred = x - m;
  CHECK(test::difference(reshape(one.mixture.means, {3}), m) < 1e-12);
  CHECK(test::difference(reshape(one.mixture.covariances, {3, 3}), matmul(mT(centred), centred) / 50.0) < 1e-12);
  GaussianMixture mixture{tensor({0.5, 0.5}, f64), narrow(x, 0, 0, 2), stack({eye(3, -1, f64), eye(3, -1, f64)}, 0)};
  double before = mean(mixture.log_density(x)).item();
  for (int i = 0; i < 20; ++i) {
    MixtureFit step = fit_mixture(x, mixture, {.iterations = 1, .floor = 0});
    CHECK(step.log_likelihood >= before - 1e-12);
    mixture = step.mixture;
    before = step.log_likelihood;
  }
}

TEST_CASE("gaussian mixture: samples have its moments, and a fit to them finds it again") {
  GaussianMixture m{tensor({0.3, 0.7}, f64), tensor({{0.0, 0.0}, {6.0, -6.0}}, f64), two_in_a_plane().covariances};
  Generator g(3);
  Tensor x = m.sample(20000, &g);
  CHECK(mean(select(x, 1, 0)).item() == doctest::Approx(4.2).epsilon(0.02));
  MixtureFit fit = fit_mixture(x, 2, {.generator = &g});
  int64_t first = to_vector(fit.mixture.weights)[0] < 0.5 ? 0 : 1;
  CHECK(to_vector(fit.mixture.weights)[static_cast<size_t>(first)] == doctest::Approx(0.3).epsilon(0.04));
  CHECK(test::difference(select(fit.mixture.covariances, 0, 1 - first), select(m.covariances, 0, 1)) < 0.06);
  CHECK(fit.log_likelihood == doctest::Approx(mean(m.log_density(x)).item()).epsilon(1e-3));
}

TEST_CASE("gaussian mixture: kinds of covariance, and the floor under a collapse") {
  Tensor x = tensor({{0.0, 0.0}, {2.0, 2.0}, {0.0, 1.0}, {2.0, 5.0}}, f64);
  auto covariance = [&](Covariance kind) {
    return select(fit_mixture(x, 1, {.covariance = kind, .floor = 0.5}).mixture.covariances, 0, 0);
  };
  // variances 1 and 3.5, covariance 1.5
  CHECK(test::difference(covariance(Covariance::full), tensor({{1.5, 1.5}, {1.5, 4.0}}, f64)) < 1e-10);
  CHECK(test::difference(covariance(Covariance::diagonal), tensor({{1.5, 0.0}, {0.0, 4.0}}, f64)) < 1e-10);
  CHECK(test::difference(covariance(Covariance::spherical), tensor({{2.75, 0.0}, {0.0, 2.75}}, f64)) < 1e-10);
  MixtureFit twins = fit_mixture(tensor({{1.0}, {1.0}, {3.0}}), 2, {.floor = 1e-4});
  CHECK(std::isfinite(twins.log_likelihood));
}

TEST_CASE("gaussian mixture: bad input is named") {
  CHECK_THROWS_WITH_AS(two_in_a_plane().log_density(zeros({3})), "log_joint: takes rows of 2 numbers, got [3]", ShapeError);
  CHECK_THROWS_WITH_AS(fit_mixture(zeros({3}), 1), "fit_mixture: takes rows [n, d], got [3]", ShapeError);
  CHECK_THROWS_WITH_AS(fit_mixture(zeros({3, 1}), 1, {.iterations = 0}), "fit_mixture: iterations must be at least 1, they are 0",
                       ValueError);
  CHECK_THROWS_WITH_AS(fit_mixture(zeros({3, 1}), 1, {.floor = -1}), "fit_mixture: the floor must not be negative, it is -1",
                       ValueError);
  CHECK_THROWS_WITH_AS(mixture_of_shares(zeros({3, 1}), zeros({2, 1})), "mixture_of_shares: takes shares [n, K] of 3 rows, got [2, 1]",
                       ShapeError);
}
