// The sliced Wasserstein distance.
#include "models/metrics/sliced_wasserstein.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "engine/autograd/grad_mode.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/sort.h"

namespace plumb::metrics {
namespace {

// ∫₀¹ |F_a⁻¹(u) − F_b⁻¹(u)|^p du of two sorted samples: both quantile functions are steps, of widths 1/n and 1/m.
double quantile_distance(const double* a, int64_t n, const double* b, int64_t m, double p) {
  double total = 0;
  int64_t i = 0, j = 0, at = 0;  // `at` in units of 1/(n m)
  while (i < n && j < m) {
    int64_t next = std::min((i + 1) * m, (j + 1) * n);
    total += static_cast<double>(next - at) * std::pow(std::abs(a[i] - b[j]), p);
    at = next;
    if (at == (i + 1) * m) ++i;
    if (at == (j + 1) * n) ++j;
  }
  return total / (static_cast<double>(n) * static_cast<double>(m));
}

}  // namespace

double sliced_wasserstein(const Tensor& a, const Tensor& b, SlicedWassersteinOptions o) {
  NoGrad off;
  if (a.rank() != 2 || b.rank() != 2 || a.size(1) != b.size(1) || a.numel() == 0 || b.numel() == 0)
    throw ShapeError("sliced_wasserstein: takes points [n, d] and [m, d], got " + to_string(a.shape()) + " and " + to_string(b.shape()));
  if (o.directions < 1 || !(o.p >= 1))
    throw ValueError("sliced_wasserstein: needs directions >= 1 and p >= 1, got " + std::to_string(o.directions) + " and " +
                     decimal(o.p));
  Tensor theta = randn({o.directions, a.size(1)}, {.dtype = f64, .generator = o.generator});
  theta = theta / norm(theta, 2, {1}, true);
  Tensor along_a = sort(matmul(theta, mT(to(to(a, cpu), f64))), 1).values, along_b = sort(matmul(theta, mT(to(to(b, cpu), f64))), 1).values;
  double total = 0;
  for (int64_t k = 0; k < o.directions; ++k)
    total += quantile_distance(along_a.data<double>() + k * a.size(0), a.size(0), along_b.data<double>() + k * b.size(0), b.size(0), o.p);
  return std::pow(total / static_cast<double>(o.directions), 1 / o.p);
}

}  // namespace plumb::metrics
