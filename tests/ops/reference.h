// Plain f64 reference code for tests: tensors as lists of numbers with a shape, visited index by index.
#pragma once
#include <algorithm>
#include <cmath>
#include <vector>

#include "engine/core/generator.h"
#include "engine/core/tensor.h"
#include "ops/shape.h"

namespace plumb::testing {

using Index = std::vector<int64_t>;

/// Calls visit(index) for every index of `shape` in row-major order.
template <typename Visit>
void for_each_index(const Shape& shape, Visit&& visit) {
  Index index(static_cast<size_t>(shape.rank()), 0);
  for (int64_t n = numel(shape); n > 0; --n) {
    visit(index);
    for (int d = shape.rank() - 1; d >= 0; --d) {
      auto i = static_cast<size_t>(d);
      if (++index[i] < shape[d]) break;
      index[i] = 0;
    }
  }
}

/// Numbers in row-major order.
struct Reference {
  Shape shape;
  std::vector<double> values;

  explicit Reference(const Shape& s, double value = 0) : shape(s), values(static_cast<size_t>(numel(s)), value) {}
  explicit Reference(const Tensor& x) : shape(x.shape()), values(to_vector<double>(x)) {}
  double& at(const Index& index) {
    int64_t place = 0;
    for (int d = 0; d < shape.rank(); ++d) place = place * shape[d] + index[static_cast<size_t>(d)];
    return values[static_cast<size_t>(place)];
  }
};

/// The largest |a − b| / max(1, |b|); infinite if the shapes differ or only one is NaN.
inline double error(const Tensor& a, const Reference& b) {
  if (a.shape() != b.shape) return INFINITY;
  std::vector<double> got = to_vector<double>(a);
  double worst = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    double g = got[i], e = b.values[i];
    if (g == e || (std::isnan(g) && std::isnan(e))) continue;
    if (std::isnan(g) || std::isnan(e) || std::isinf(g) || std::isinf(e)) return INFINITY;
    worst = std::max(worst, std::abs(g - e) / std::max(1.0, std::abs(e)));
  }
  return worst;
}

/// Values in [low, high).
inline Tensor uniform(const Shape& shape, uint64_t seed, double low = -2, double high = 2, DType dtype = f64) {
  Generator generator(seed);
  std::vector<double> values(static_cast<size_t>(numel(shape)));
  for (double& v : values) v = low + (high - low) * generator.next_double();
  return to(from_vector(values, shape), dtype);
}
/// Integers in [0, below).
inline Tensor integers(const Shape& shape, int64_t below, uint64_t seed) {
  Generator generator(seed);
  std::vector<int64_t> values(static_cast<size_t>(numel(shape)));
  for (int64_t& v : values) v = static_cast<int64_t>(generator.next_below(static_cast<uint64_t>(below)));
  return from_vector(values, shape);
}

/// The same values with other strides: as they are, with dimensions stored in reverse order, and with gaps.
inline std::vector<Tensor> layouts(const Tensor& x) {
  if (x.rank() == 0) return {x};
  std::vector<int> reversed;
  for (int d = x.rank() - 1; d >= 0; --d) reversed.push_back(d);
  std::vector<Tensor> all{x, permute(clone(permute(x, reversed)), reversed)};
  if (x.rank() < kMaxRank) {
    Shape wider = x.shape();
    wider.push_back(2);
    all.push_back(select(clone(expand(unsqueeze(x, -1), wider)), -1, 1));
  }
  return all;
}

}  // namespace plumb::testing
