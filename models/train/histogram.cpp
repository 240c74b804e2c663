// Counting values in buckets.
#include "models/train/histogram.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_set>

#include "models/nn/module.h"

namespace plumb::train {
namespace {

// The elements as f64 rows of this process's memory where they are f64, else as f32, which every smaller type fits into.
Tensor on_host(const Tensor& x) {
  Tensor rows = empty(x.shape(), x.dtype() == f64 ? f64 : f32, cpu, "histogram");
  copy_data(x, rows);
  return rows;
}

template <typename T>
Histogram count(const T* x, int64_t n, int buckets) {
  Histogram h;
  h.counts.assign(static_cast<size_t>(buckets), 0);
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (int64_t i = 0; i < n; ++i) {
    if (!std::isfinite(x[i])) continue;
    auto v = static_cast<double>(x[i]);
    low = std::min(low, v), high = std::max(high, v);
    h.sum += v, h.sum_squares += v * v, ++h.count;
  }
  if (h.count == 0) return h;
  h.low = low, h.high = high;
  double half = high / 2 - low / 2;  // the range itself may be too large for a double
  for (int64_t i = 0; i < n; ++i) {
    if (!std::isfinite(x[i])) continue;
    double share = half > 0 ? (static_cast<double>(x[i]) / 2 - low / 2) / half : 0;
    ++h.counts[std::min(static_cast<size_t>(share * buckets), h.counts.size() - 1)];
  }
  return h;
}

}  // namespace

Histogram histogram_of(const Tensor& x, int buckets) {
  if (!is_floating(x.dtype())) throw DTypeError("histogram: takes floating values, got " + std::string(name(x.dtype())));
  Tensor rows = on_host(x);
  return rows.dtype() == f64 ? count(rows.data<double>(), rows.numel(), buckets) : count(rows.data<float>(), rows.numel(), buckets);
}

std::vector<NamedHistogram> histograms_of(const nn::Module& model) {
  std::vector<NamedHistogram> all;
  std::unordered_set<const TensorImpl*> seen;
  for (const auto& [name, tensor] : model.named_parameters()) {
    if (!seen.insert(tensor.impl()).second) continue;
    all.push_back({"weights/" + name, histogram_of(tensor)});
    if (tensor.grad().defined()) all.push_back({"gradients/" + name, histogram_of(tensor.grad())});
  }
  return all;
}

}  // namespace plumb::train
