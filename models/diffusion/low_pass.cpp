// φ as two matrices, one a side.
#include "models/diffusion/low_pass.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::diffusion {
namespace {

// Keys' cubic with a = −½.
double cubic(double x) {
  x = std::abs(x);
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}

// Row i holds the weights with which n values make the i-th of m.
std::vector<double> resizing(int64_t n, int64_t m) {
  double ratio = static_cast<double>(n) / static_cast<double>(m), stretch = std::max(ratio, 1.0);
  std::vector<double> weights(static_cast<size_t>(n * m));
  for (int64_t i = 0; i < m; ++i) {
    double centre = (static_cast<double>(i) + 0.5) * ratio - 0.5, sum = 0;
    double* row = weights.data() + i * n;
    for (int64_t j = 0; j < n; ++j) sum += row[j] = cubic((static_cast<double>(j) - centre) / stretch);
    for (int64_t j = 0; j < n; ++j) row[j] /= sum;
  }
  return weights;
}

// φ along a side of n: [n, n].
Tensor along(int64_t n, int64_t factor, LowPass filter, const Tensor& like) {
  std::vector<double> phi(static_cast<size_t>(n * n));
  if (filter == LowPass::box) {
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j < n; ++j)
        if (i / factor == j / factor) phi[static_cast<size_t>(i * n + j)] = 1 / static_cast<double>(factor);
  } else {
    int64_t m = n / factor;
    std::vector<double> down = resizing(n, m), up = resizing(m, n);
    for (int64_t i = 0; i < n; ++i)
      for (int64_t k = 0; k < m; ++k)
        for (int64_t j = 0; j < n; ++j)
          phi[static_cast<size_t>(i * n + j)] += up[static_cast<size_t>(i * m + k)] * down[static_cast<size_t>(k * n + j)];
  }
  return to(to(from_vector(phi, {n, n}), like.dtype()), like.device());
}

}  // namespace

Tensor low_pass(const Tensor& x, int64_t factor, LowPass filter) {
  int64_t height = x.size(-2), width = x.size(-1);
  if (factor < 1 || height % factor != 0 || width % factor != 0)
    throw ValueError("low_pass: the factor " + std::to_string(factor) + " does not divide images of " + std::to_string(height) + "×" +
                     std::to_string(width));
  if (factor == 1) return x;
  return matmul(along(height, factor, filter, x), matmul(x, mT(along(width, factor, filter, x))));
}

Tensor with_low_frequencies(const Tensor& x, const Tensor& reference, int64_t factor, LowPass filter) {
  return x + low_pass(reference - x, factor, filter);
}

}  // namespace plumb::diffusion
