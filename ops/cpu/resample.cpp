// Reading windows of images on the CPU. Planes are independent; an output row first joins the input rows it reads, along whole rows (which
// vectorises), then each output place joins the columns it reads.
// Bytes: an input row is read once for each output row that reads it, from cache. Bound: memory for pooling, arithmetic for bicubic.
#include "ops/kernels/resample.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/core/parallel.h"
#include "ops/cpu/strided_loop.h"

namespace plumb::cpu_kernels {
namespace {

// The map with its weights in the type that sums are computed in.
template <typename C>
struct Axis {
  const int64_t *offset, *index;
  std::vector<C> weight;
  int64_t inputs, outputs;
  bool single;  // every output reads exactly one place, whole

  explicit Axis(const AxisMap& m) : offset(m.offset.data<int64_t>()), index(m.index.data<int64_t>()), inputs(m.inputs), outputs(m.outputs) {
    const auto* w = m.weight.data<double>();
    weight.assign(w, w + m.weight.numel());
    single = m.index.numel() == outputs && std::all_of(weight.begin(), weight.end(), [](C v) { return v == C(1); });
    for (int64_t i = 0; single && i <= outputs; ++i) single = offset[i] == i;
  }
};

// Calls f(plane, row, buffer) for every output row, on all threads; each range of rows has a buffer of one input row.
template <typename C, typename F>
void for_output_rows(int64_t planes, int64_t rows, int64_t width, int64_t work, const F& f) {
  if (planes * rows == 0) return;
  parallel_for(planes * rows, std::max<int64_t>(1, kPointwiseGrain / std::max<int64_t>(1, work)), [&](int64_t begin, int64_t end) {
    std::vector<C> buffer(static_cast<size_t>(width));
    for (int64_t r = begin; r < end; ++r) f(r / rows, r % rows, buffer.data());
  });
}

template <typename T, typename C>
void join_rows(const T* plane, const Axis<C>& rows, int64_t width, int64_t row, C* joined) {
  const int64_t begin = rows.offset[row], end = rows.offset[row + 1];
  if (begin == end) std::fill_n(joined, width, C(0));
  for (int64_t k = begin; k < end; ++k) {
    const T* from = plane + rows.index[k] * width;
    const C w = rows.weight[static_cast<size_t>(k)];
    if (k == begin)
      for (int64_t i = 0; i < width; ++i) joined[i] = w * static_cast<C>(from[i]);
    else
      for (int64_t i = 0; i < width; ++i) joined[i] = std::fma(w, static_cast<C>(from[i]), joined[i]);
  }
}

template <typename T, typename C>
void join_columns(const C* joined, const Axis<C>& columns, T* to) {
  if (columns.single) {
    for (int64_t j = 0; j < columns.outputs; ++j) to[j] = static_cast<T>(joined[columns.index[j]]);
    return;
  }
  for (int64_t j = 0; j < columns.outputs; ++j) {
    C sum = 0;
    for (int64_t k = columns.offset[j]; k < columns.offset[j + 1]; ++k)
      sum = std::fma(columns.weight[static_cast<size_t>(k)], joined[columns.index[k]], sum);
    to[j] = static_cast<T>(sum);
  }
}

template <typename T>
void resample_typed(const Tensor& x, const AxisMap& row_map, const AxisMap& column_map, Tensor& y) {
  using C = compute_t<T>;
  const Axis<C> rows(row_map), columns(column_map);
  const T* from = x.data<T>();
  T* to = y.data<T>();
  const int64_t reads = row_map.index.numel() / std::max<int64_t>(1, rows.outputs) * columns.inputs + column_map.index.numel();
  for_output_rows<C>(x.shape()[0], rows.outputs, columns.inputs, reads, [&](int64_t plane, int64_t row, C* joined) {
    join_rows(from + plane * rows.inputs * columns.inputs, rows, columns.inputs, row, joined);
    join_columns(joined, columns, to + (plane * rows.outputs + row) * columns.outputs);
  });
}

// -- maxima -------------------------------------------------------------------------------------------------

// Whether (a, at) stands before (b, to): larger, or NaN, or as large and earlier.
template <typename C>
bool stands_before(C a, int64_t at, C b, int64_t to) {
  if (a > b) return true;
  if (a == b || (std::isnan(a) && std::isnan(b))) return at < to;
  return std::isnan(a);
}

template <typename T>
void window_max_typed(const Tensor& x, const AxisMap& row_map, const AxisMap& column_map, Tensor& y, Tensor& place) {
  using C = compute_t<T>;
  const int64_t *row_offset = row_map.offset.data<int64_t>(), *row_index = row_map.index.data<int64_t>();
  const int64_t *offset = column_map.offset.data<int64_t>(), *index = column_map.index.data<int64_t>();
  const int64_t width = column_map.inputs, outputs = column_map.outputs;
  const T* from = x.data<T>();
  T* to = y.data<T>();
  auto* places = place.data<int64_t>();
  const int64_t reads = row_map.index.numel() / std::max<int64_t>(1, row_map.outputs) * width + column_map.index.numel();
  for_output_rows<int64_t>(x.shape()[0], row_map.outputs, width, reads, [&](int64_t plane, int64_t row, int64_t* best) {
    const T* p = from + plane * row_map.inputs * width;
    const int64_t first = row_index[row_offset[row]] * width;
    for (int64_t j = 0; j < width; ++j) best[j] = first + j;  // of each column: the largest of the rows read
    for (int64_t k = row_offset[row] + 1; k < row_offset[row + 1]; ++k) {
      const int64_t at = row_index[k] * width;
      for (int64_t j = 0; j < width; ++j) {
        const C a = static_cast<C>(p[at + j]), b = static_cast<C>(p[best[j]]);
        best[j] = a > b || (a != a && b == b) ? at + j : best[j];
      }
    }
    const int64_t out = (plane * row_map.outputs + row) * outputs;
    for (int64_t j = 0; j < outputs; ++j) {
      int64_t chosen = best[index[offset[j]]];
      for (int64_t k = offset[j] + 1; k < offset[j + 1]; ++k) {
        const int64_t other = best[index[k]];
        if (stands_before(static_cast<C>(p[other]), other, static_cast<C>(p[chosen]), chosen)) chosen = other;
      }
      to[out + j] = p[chosen];
      places[out + j] = chosen;
    }
  });
}

template <typename T>
void window_max_backward_typed(const Tensor& dy, const Tensor& place, Tensor& dx) {
  using C = compute_t<T>;
  const int64_t windows = dy.shape()[1] * dy.shape()[2], size = dx.shape()[1] * dx.shape()[2];
  const T* from = dy.data<T>();
  const auto* places = place.data<int64_t>();
  T* to = dx.data<T>();
  parallel_for(dx.shape()[0], std::max<int64_t>(1, kPointwiseGrain / std::max<int64_t>(1, windows + size)),
               [&](int64_t begin, int64_t end) {
                 std::vector<C> sums(static_cast<size_t>(size));
                 for (int64_t plane = begin; plane < end; ++plane) {
                   std::fill(sums.begin(), sums.end(), C(0));
                   for (int64_t i = plane * windows; i < (plane + 1) * windows; ++i)
                     sums[static_cast<size_t>(places[i])] += static_cast<C>(from[i]);
                   std::transform(sums.begin(), sums.end(), to + plane * size, [](C v) { return static_cast<T>(v); });
                 }
               });
}

// -- windows as columns ---------------------------------------------------------------------------------------

// The output places [begin, end) along one dimension that read inside the input for one kernel entry, and where the first reads.
struct Inside {
  int64_t begin, end, from;
};
Inside inside_of(int64_t size, int64_t outputs, int64_t entry, const ConvGeometry& g, int d) {
  const int64_t start = entry * g.dilation[d] - g.padding[d], stride = g.stride[d];
  const int64_t begin = start >= 0 ? 0 : std::min(outputs, (-start + stride - 1) / stride);
  const int64_t end = start >= size ? begin : std::clamp<int64_t>((size - 1 - start) / stride + 1, begin, outputs);
  return {begin, end, start + begin * stride};
}

template <typename T>
void unfold_typed(const Tensor& x, const ConvGeometry& g, Tensor& y) {
  const Shape &in = x.shape(), &out = y.shape();
  const int64_t entries = out[1] * out[2], places = out[3] * out[4];
  const T* from = x.data<T>();
  T* to = y.data<T>();
  parallel_for(out[0] * entries, std::max<int64_t>(1, kPointwiseGrain / std::max<int64_t>(1, places)), [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t plane = task / entries, p = task % entries / out[2], q = task % out[2];
      const Inside rows = inside_of(in[1], out[3], p, g, 0), columns = inside_of(in[2], out[4], q, g, 1);
      T* at = to + task * places;
      std::fill_n(at, places, static_cast<T>(0.0f));
      for (int64_t i = rows.begin; i < rows.end; ++i) {
        const T* row = from + (plane * in[1] + rows.from + (i - rows.begin) * g.stride[0]) * in[2] + columns.from;
        for (int64_t j = columns.begin; j < columns.end; ++j) at[i * out[4] + j] = row[(j - columns.begin) * g.stride[1]];
      }
    }
  });
}

template <typename T>
void fold_typed(const Tensor& y, const ConvGeometry& g, Tensor& x) {
  using C = compute_t<T>;
  const Shape &in = x.shape(), &out = y.shape();
  const int64_t size = in[1] * in[2], places = out[3] * out[4], entries = out[1] * out[2];
  const T* from = y.data<T>();
  T* to = x.data<T>();
  parallel_for(in[0], std::max<int64_t>(1, kPointwiseGrain / std::max<int64_t>(1, entries * places)), [&](int64_t begin, int64_t end) {
    std::vector<C> sums(static_cast<size_t>(size));
    for (int64_t plane = begin; plane < end; ++plane) {
      std::fill(sums.begin(), sums.end(), C(0));
      for (int64_t entry = 0; entry < entries; ++entry) {
        const Inside rows = inside_of(in[1], out[3], entry / out[2], g, 0), columns = inside_of(in[2], out[4], entry % out[2], g, 1);
        const T* at = from + (plane * entries + entry) * places;
        for (int64_t i = rows.begin; i < rows.end; ++i) {
          C* row = sums.data() + (rows.from + (i - rows.begin) * g.stride[0]) * in[2] + columns.from;
          for (int64_t j = columns.begin; j < columns.end; ++j)
            row[(j - columns.begin) * g.stride[1]] += static_cast<C>(at[i * out[4] + j]);
        }
      }
      std::transform(sums.begin(), sums.end(), to + plane * size, [](C v) { return static_cast<T>(v); });
    }
  });
}

void resample(const Tensor& x, const AxisMap& rows, const AxisMap& columns, Tensor& y) {
  visit_floating("resample", x.dtype(), [&]<typename T>() { resample_typed<T>(x, rows, columns, y); });
}
void window_max(const Tensor& x, const AxisMap& rows, const AxisMap& columns, Tensor& y, Tensor& place) {
  visit_floating("window_max", x.dtype(), [&]<typename T>() { window_max_typed<T>(x, rows, columns, y, place); });
}
void window_max_backward(const Tensor& dy, const Tensor& place, const AxisMap&, const AxisMap&, Tensor& dx) {
  visit_floating("window_max", dx.dtype(), [&]<typename T>() { window_max_backward_typed<T>(dy, place, dx); });
}
void unfold(const Tensor& x, const ConvGeometry& g, Tensor& y) {
  visit_floating("unfold", x.dtype(), [&]<typename T>() { unfold_typed<T>(x, g, y); });
}
void fold(const Tensor& y, const ConvGeometry& g, Tensor& x) {
  visit_floating("fold", y.dtype(), [&]<typename T>() { fold_typed<T>(y, g, x); });
}

}  // namespace

void register_resample() {
  kernel::resample.set(DeviceType::cpu, resample);
  kernel::window_max.set(DeviceType::cpu, window_max);
  kernel::window_max_backward.set(DeviceType::cpu, window_max_backward);
  kernel::unfold.set(DeviceType::cpu, unfold);
  kernel::fold.set(DeviceType::cpu, fold);
}

}  // namespace plumb::cpu_kernels
