// Points from formulas and normal draws. Coordinates are computed in double with portable functions, then rounded to float.
#include "engine/data/points.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "engine/data/internal/portable_math.h"

namespace plumb::data {

namespace {

void check_count(const char* op, int64_t n, double noise) {
  if (n < 0) throw ValueError(fmt::format("{}: the number of points must not be negative, it is {}", op, n));
  if (!(noise >= 0)) throw ValueError(fmt::format("{}: the standard deviation must not be negative, it is {}", op, noise));
}

/// n points of `dimensions` coordinates with labels, written by fill(i, coordinates) → label.
template <typename Fill>
Dataset points(int64_t n, int64_t dimensions, Fill fill) {
  Tensor features = empty({n, dimensions}, f32, cpu, "points"), label = empty({n}, i64, cpu, "points");
  std::vector<double> x(static_cast<size_t>(dimensions));
  for (int64_t i = 0; i < n; ++i) {
    label.data<int64_t>()[i] = fill(i, x);
    for (int64_t d = 0; d < dimensions; ++d) features.data<float>()[i * dimensions + d] = static_cast<float>(x[static_cast<size_t>(d)]);
  }
  return from_tensors({{"features", features}, {"label", label}});
}

}  // namespace

Dataset two_moons(int64_t n, NoiseOptions options) {
  check_count("two_moons", n, options.noise);
  Generator g(options.seed);
  return points(n, 2, [&](int64_t i, std::vector<double>& x) {
    int64_t moon = i % 2, along = i / 2, count = (n + 1 - moon) / 2;
    auto [sine, cosine] = sin_cos_turns(count > 1 ? 0.5 * static_cast<double>(along) / static_cast<double>(count - 1) : 0);
    x[0] = (moon == 0 ? cosine : 1 - cosine) + options.noise * normal(g);
    x[1] = (moon == 0 ? sine : 0.5 - sine) + options.noise * normal(g);
    return moon;
  });
}

Dataset spirals(int64_t n, SpiralOptions options) {
  check_count("spirals", n, options.noise);
  if (options.arms < 1) throw ValueError(fmt::format("spirals: the number of arms must be at least 1, it is {}", options.arms));
  Generator g(options.seed);
  return points(n, 2, [&](int64_t i, std::vector<double>& x) {
    int64_t arm = i % options.arms, along = i / options.arms, count = (n + options.arms - 1 - arm) / options.arms;
    double r = static_cast<double>(along + 1) / static_cast<double>(count);
    auto [sine, cosine] = sin_cos_turns(options.turns * r + static_cast<double>(arm) / static_cast<double>(options.arms));
    x[0] = r * cosine + options.noise * normal(g);
    x[1] = r * sine + options.noise * normal(g);
    return arm;
  });
}

Dataset blobs(int64_t n, BlobOptions options) {
  check_count("blobs", n, options.spread);
  if (options.centers < 1) throw ValueError(fmt::format("blobs: the number of centres must be at least 1, it is {}", options.centers));
  if (options.dimensions < 1)
    throw ValueError(fmt::format("blobs: the number of dimensions must be at least 1, it is {}", options.dimensions));
  Generator g(options.seed);
  std::vector<double> centers;
  for (int64_t i = 0; i < options.centers * options.dimensions; ++i) centers.push_back(uniform(g, -options.box, options.box));
  return points(n, options.dimensions, [&](int64_t i, std::vector<double>& x) {
    int64_t center = i % options.centers;
    for (size_t d = 0; d < x.size(); ++d) x[d] = centers[static_cast<size_t>(center) * x.size() + d] + options.spread * normal(g);
    return center;
  });
}

namespace {

/// The lower triangle L of L·Lᵀ = a, in place (Cholesky); a has D×D elements. `component` is named if a is not positive definite.
void cholesky(double* a, size_t D, size_t component) {
  for (size_t i = 0; i < D; ++i)
    for (size_t j = 0; j <= i; ++j) {
      double sum = a[i * D + j];
      for (size_t k = 0; k < j; ++k) sum -= a[i * D + k] * a[j * D + k];
      if (i == j && !(sum > 0))
        throw ValueError(fmt::format("gaussian_mixture: the covariance of component {} is not positive definite", component));
      a[i * D + j] = i == j ? std::sqrt(sum) : sum / a[j * D + j];
    }
}

/// L of every component, [K, D, D].
std::vector<double> factors(const GaussianMixture& m, size_t K, size_t D) {
  std::vector<double> L(K * D * D, 0.0);
  if (!m.covariances.defined()) {
    if (!(m.scale >= 0)) throw ValueError(fmt::format("gaussian_mixture: scales must not be negative, one is {}", m.scale));
    for (size_t i = 0; i < K * D; ++i) L[(i / D) * D * D + (i % D) * (D + 1)] = m.scale;
    return L;
  }
  if (m.covariances.rank() != 3 || m.covariances.size(0) != m.means.size(0) || m.covariances.size(1) != m.means.size(1) ||
      m.covariances.size(2) != m.means.size(1))
    throw ShapeError(
        fmt::format("gaussian_mixture: means {} with covariances {}", to_string(m.means.shape()), to_string(m.covariances.shape())));
  L = to_vector(m.covariances);
  for (size_t k = 0; k < K; ++k) cholesky(&L[k * D * D], D, k);
  return L;
}

std::vector<double> running_weights(const GaussianMixture& m, size_t K) {
  std::vector<double> sums = m.weights.empty() ? std::vector<double>(K, 1.0) : m.weights;
  if (sums.size() != K) throw ShapeError(fmt::format("gaussian_mixture: {} weights for {} components", sums.size(), K));
  for (size_t k = 0; k < K; ++k)
    if (!(sums[k] >= 0))
      throw ValueError(fmt::format("gaussian_mixture: weights must not be negative, that of component {} is {}", k, sums[k]));
  std::partial_sum(sums.begin(), sums.end(), sums.begin());
  if (!(sums.back() > 0)) throw ValueError("gaussian_mixture: all weights are 0");
  return sums;
}

}  // namespace

Dataset gaussian_mixture(int64_t n, const GaussianMixture& mixture, uint64_t seed) {
  check_count("gaussian_mixture", n, 0);
  if (mixture.means.rank() != 2 || mixture.means.numel() == 0)
    throw ShapeError(fmt::format("gaussian_mixture: means {}; they are [components, dimensions]", to_string(mixture.means.shape())));
  auto K = static_cast<size_t>(mixture.means.size(0)), D = static_cast<size_t>(mixture.means.size(1));
  std::vector<double> means = to_vector(mixture.means), L = factors(mixture, K, D), sums = running_weights(mixture, K), z(D);
  Generator g(seed);
  return points(n, static_cast<int64_t>(D), [&](int64_t, std::vector<double>& x) {
    double place = g.next_double() * sums.back();
    size_t k = std::min(K - 1, static_cast<size_t>(std::upper_bound(sums.begin(), sums.end(), place) - sums.begin()));
    for (double& v : z) v = normal(g);
    for (size_t i = 0; i < D; ++i) {
      x[i] = means[k * D + i];
      for (size_t j = 0; j <= i; ++j) x[i] += L[(k * D + i) * D + j] * z[j];
    }
    return static_cast<int64_t>(k);
  });
}

Tensor ring_means(int64_t k, double radius) {
  if (k < 1) throw ValueError(fmt::format("ring_means: the number of points must be at least 1, it is {}", k));
  Tensor means = empty({k, 2}, f64, cpu, "ring_means");
  for (int64_t i = 0; i < k; ++i) {
    auto [sine, cosine] = sin_cos_turns(static_cast<double>(i) / static_cast<double>(k));
    means.data<double>()[2 * i] = radius * cosine;
    means.data<double>()[2 * i + 1] = radius * sine;
  }
  return means;
}

Tensor grid_means(int64_t side, double spacing) {
  if (side < 1) throw ValueError(fmt::format("grid_means: the number of points a side must be at least 1, it is {}", side));
  Tensor means = empty({side * side, 2}, f64, cpu, "grid_means");
  double middle = static_cast<double>(side - 1) / 2;
  double* out = means.data<double>();
  for (int64_t y = 0; y < side; ++y)
    for (int64_t x = 0; x < side; ++x) {
      *out++ = (static_cast<double>(x) - middle) * spacing;
      *out++ = (static_cast<double>(y) - middle) * spacing;
    }
  return means;
}

}  // namespace plumb::data
