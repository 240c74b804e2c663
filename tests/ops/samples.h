// Numbers for tests: drawn from a seed, compared element by element.
#pragma once
#include <algorithm>
#include <cmath>
#include <vector>

#include "engine/autograd/backward.h"
#include "engine/core/generator.h"
#include "engine/core/tensor.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::test {

/// Uniform in [low, high), the same for the same seed.
inline Tensor sample(const Shape& shape, uint64_t seed, DType dtype = f64, double low = -2, double high = 2) {
  Generator g(seed);
  std::vector<double> values(static_cast<size_t>(numel(shape)));
  for (double& v : values) v = low + (high - low) * g.next_double();
  return to(from_vector(values, shape), dtype);
}

/// The same elements with other strides: the last two dimensions are stored swapped.
inline Tensor strided(const Tensor& x) {
  return x.rank() < 2 ? slice(expand(unsqueeze(x, -1), {x.size(0), 1}), 0, 0) : transpose(clone(transpose(x, -1, -2)), -1, -2);
}

/// The largest |a − b| / max(1, |b|); infinite if the shapes differ or one is NaN where the other is not.
inline double difference(const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape()) return INFINITY;
  std::vector<double> va = to_vector(a), vb = to_vector(b);
  double worst = 0;
  for (size_t i = 0; i < va.size(); ++i) {
    if (va[i] == vb[i] || (std::isnan(va[i]) && std::isnan(vb[i]))) continue;
    double d = std::abs(va[i] - vb[i]) / std::max(1.0, std::abs(vb[i]));
    worst = d >= worst ? d : std::isnan(d) ? INFINITY : worst;
  }
  return worst;
}

/// Whether two tensors have the same bits.
inline bool same_bits(const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape() || a.dtype() != b.dtype()) return false;
  Tensor ca = contiguous_data(a), cb = contiguous_data(b);
  auto* pa = static_cast<const std::byte*>(ca.raw_data());
  return std::equal(pa, pa + static_cast<size_t>(a.numel()) * item_size(a.dtype()), static_cast<const std::byte*>(cb.raw_data()));
}

/// Gradients of Σ y · seed-drawn numbers in `inputs`: once through the fused kernels, once (graph) through the formulas.
inline std::vector<Tensor> gradients(const Tensor& y, const std::vector<Tensor>& inputs, bool graph) {
  return grad({y}, inputs, {.create_graph = graph, .retain_graph = true}, {sample(y.shape(), 99, y.dtype())});
}

/// The derivative of f (of one tensor, summed with drawn numbers) by central differences in f64.
template <typename F>
Tensor numeric_gradient(F&& f, const Tensor& x, double step = 1e-5) {
  std::vector<double> at = to_vector(x), slope(at.size());
  auto value = [&](const std::vector<double>& v) {
    Tensor y = f(from_vector(v, x.shape()));
    return sum(y * sample(y.shape(), 99)).item();
  };
  for (size_t i = 0; i < at.size(); ++i) {
    std::vector<double> up = at, down = at;
    up[i] += step;
    down[i] -= step;
    slope[i] = (value(up) - value(down)) / (2 * step);
  }
  return from_vector(slope, x.shape());
}

/// Checks a function of one f64 tensor: its fused gradient, its formula's gradient, and the derivative of that, each by central
/// differences. The largest relative difference.
template <typename F>
double derivative_error(F&& f, const Tensor& x) {
  Tensor leaf = clone(x).requires_grad_();
  Tensor y = f(leaf), expected = numeric_gradient(f, x);
  double worst = std::max(difference(gradients(y, {leaf}, false)[0], expected), difference(gradients(y, {leaf}, true)[0], expected));
  auto first = [&](const Tensor& v) {
    Tensor w = v.requires_grad() ? v : clone(v).requires_grad_();
    return gradients(f(w), {w}, true)[0];
  };
  Tensor g = first(leaf);
  if (!g.requires_grad()) return worst;
  Tensor second = grad({g}, {leaf}, {.allow_unused = true}, {sample(g.shape(), 99)})[0];
  return std::max(worst, difference(second.defined() ? second : zeros_like(x), numeric_gradient(first, x)));
}

}  // namespace plumb::test
