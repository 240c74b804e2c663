// Reading windows of images: resampling, maxima, and windows as columns. A thread computes one output element, or several channels of
// one place; sums run in the order of the CPU's kernels. Neighbouring threads write neighbouring elements, and their windows overlap in L1.
// Bytes: the output written once, the input read from memory about once (windows overlap in cache). Reads from cache for each output: the
// rows times the columns of its window (4 for bilinear, 16 for bicubic, 9 for 3 × 3 pooling), and the two lists that say which they are.
#include <cmath>

#include "cuda/kernels/elements.h"
#include "cuda/kernels/places.h"
#include "cuda/runtime/launch.h"
#include "engine/core/device_function.h"
#include "ops/kernels/resample.h"

namespace plumb::cuda_backend {
namespace {

// AxisMap as kernels see it.
struct Axis {
  const int64_t *offset, *index;
  const double* weight;
  int64_t inputs, outputs;

  explicit Axis(const AxisMap& m)
      : offset(m.offset.data<int64_t>()),
        index(m.index.data<int64_t>()),
        weight(m.weight.data<double>()),
        inputs(m.inputs),
        outputs(m.outputs) {}
};

// `channels` elements of a place lie side by side, 1 in a plane; a thread takes N of them.
template <typename T, typename I, int N>
__global__ void resample_kernel(const T* x, Axis rows, Axis columns, int64_t channels, int64_t packs, T* y) {
  using C = compute_t<T>;
  for (int64_t n = thread_index(); n < packs; n += grid_threads()) {
    const I across = static_cast<I>(channels / N), place = static_cast<I>(n) / across;
    const Place<I> out(place, rows.outputs, columns.outputs);
    const T* plane = x + out.plane * rows.inputs * columns.inputs * channels + (n - static_cast<int64_t>(place * across)) * N;
    const int64_t first_row = rows.offset[out.row], end_row = rows.offset[out.row + 1];
    C sum[N] = {};
    for (int64_t c = columns.offset[out.column]; c < columns.offset[out.column + 1]; ++c) {
      const T* column = plane + columns.index[c] * channels;
      C joined[N] = {}, v[N];
      for (int64_t r = first_row; r < end_row; ++r) {
        read_pack<N>(column + rows.index[r] * columns.inputs * channels, v);
#pragma unroll
        for (int j = 0; j < N; ++j) joined[j] = std::fma(static_cast<C>(rows.weight[r]), v[j], joined[j]);
      }
#pragma unroll
      for (int j = 0; j < N; ++j) sum[j] = std::fma(static_cast<C>(columns.weight[c]), joined[j], sum[j]);
    }
    write_pack<N>(y + n * N, sum);
  }
}

// Places are visited in the order of the plane, so the first of equal values, or the first NaN, stays.
template <typename T, typename I>
__global__ void window_max_kernel(const T* x, Axis rows, Axis columns, int64_t channels, int64_t count, T* y, int64_t* place) {
  using C = compute_t<T>;
  for (int64_t n = thread_index(); n < count; n += grid_threads()) {
    const I at_place = static_cast<I>(n) / static_cast<I>(channels), channel = static_cast<I>(n) % static_cast<I>(channels);
    const Place<I> out(at_place, rows.outputs, columns.outputs);
    const T* plane = x + out.plane * rows.inputs * columns.inputs * channels + channel;
    const int64_t first_column = columns.offset[out.column], end_column = columns.offset[out.column + 1];
    int64_t best = rows.index[rows.offset[out.row]] * columns.inputs + columns.index[first_column];
    C most = static_cast<C>(plane[best * channels]);
    for (int64_t r = rows.offset[out.row]; r < rows.offset[out.row + 1]; ++r)
      for (int64_t c = first_column; c < end_column; ++c) {
        const int64_t at = rows.index[r] * columns.inputs + columns.index[c];
        const C value = static_cast<C>(plane[at * channels]);
        if (value > most || (value != value && most == most)) best = at, most = value;
      }
    y[n] = plane[best * channels];
    place[n] = best;
  }
}

// A thread looks at the windows that read its place.
template <typename T, typename I>
__global__ void window_max_backward_kernel(const T* dy, const int64_t* place, Axis rows, Axis columns, int64_t channels, int64_t count,
                                           T* dx) {
  using C = compute_t<T>;
  for (int64_t n = thread_index(); n < count; n += grid_threads()) {
    const I at_place = static_cast<I>(n) / static_cast<I>(channels), channel = static_cast<I>(n) % static_cast<I>(channels);
    const Place<I> in(at_place, rows.outputs, columns.outputs);
    const int64_t own = in.row * columns.outputs + in.column, plane = in.plane * rows.inputs;
    C sum = 0;
    for (int64_t r = rows.offset[in.row]; r < rows.offset[in.row + 1]; ++r)
      for (int64_t c = columns.offset[in.column]; c < columns.offset[in.column + 1]; ++c) {
        const int64_t window = ((plane + rows.index[r]) * columns.inputs + columns.index[c]) * channels + channel;
        if (place[window] == own) sum += static_cast<C>(dy[window]);
      }
    dx[n] = static_cast<T>(sum);
  }
}

// How windows lie over planes [H, W]: kernel entries [kh, kw] and places [oh, ow].
struct Windows {
  int64_t height, width, kernel_height, kernel_width, rows, columns;
  int64_t stride[2], padding[2], dilation[2];

  Windows(const Tensor& image, const Tensor& windows, const ConvGeometry& g)
      : height(image.size(1)),
        width(image.size(2)),
        kernel_height(windows.size(1)),
        kernel_width(windows.size(2)),
        rows(windows.size(3)),
        columns(windows.size(4)),
        stride{g.stride[0], g.stride[1]},
        padding{g.padding[0], g.padding[1]},
        dilation{g.dilation[0], g.dilation[1]} {}
};

template <typename T, typename I>
__global__ void unfold_kernel(const T* x, Windows w, int64_t count, T* y) {
  for (int64_t n = thread_index(); n < count; n += grid_threads()) {
    const Place<I> out(n, w.rows, w.columns), entry(out.plane, w.kernel_height, w.kernel_width);
    const int64_t row = out.row * w.stride[0] - w.padding[0] + entry.row * w.dilation[0];
    const int64_t column = out.column * w.stride[1] - w.padding[1] + entry.column * w.dilation[1];
    const bool inside = row >= 0 && row < w.height && column >= 0 && column < w.width;
    y[n] = inside ? x[(entry.plane * w.height + row) * w.width + column] : static_cast<T>(0.0f);
  }
}

// Every place of the image adds up what took it, kernel entry by kernel entry.
template <typename T, typename I>
__global__ void fold_kernel(const T* y, Windows w, int64_t count, T* x) {
  using C = compute_t<T>;
  for (int64_t n = thread_index(); n < count; n += grid_threads()) {
    const Place<I> in(n, w.height, w.width);
    C sum = 0;
    for (int64_t p = 0; p < w.kernel_height; ++p) {
      const int64_t row = in.row + w.padding[0] - p * w.dilation[0];
      if (row < 0 || row % w.stride[0] != 0 || row / w.stride[0] >= w.rows) continue;
      for (int64_t q = 0; q < w.kernel_width; ++q) {
        const int64_t column = in.column + w.padding[1] - q * w.dilation[1];
        if (column < 0 || column % w.stride[1] != 0 || column / w.stride[1] >= w.columns) continue;
        const int64_t entry = (in.plane * w.kernel_height + p) * w.kernel_width + q;
        sum += static_cast<C>(y[(entry * w.rows + row / w.stride[0]) * w.columns + column / w.stride[1]]);
      }
    }
    x[n] = static_cast<T>(sum);
  }
}

// Calls f.template operator()<T, I>() for the type of elements and that of indices up to `count`.
template <typename F>
void visit_types(const char* op, DType type, int64_t count, F&& f) {
  visit_floating(op, type, [&]<typename T>() { visit_index_type(count, [&]<typename I>() { f.template operator()<T, I>(); }); });
}

// How many elements of a place lie side by side.
int64_t channels_of(const Tensor& y) { return y.rank() == 4 ? y.size(3) : 1; }

void resample(const Tensor& x, const AxisMap& rows, const AxisMap& columns, Tensor& y) {
  const int64_t count = y.numel(), channels = channels_of(y);
  visit_types("resample", x.dtype(), count, [&]<typename T, typename I>() {
    constexpr int N = kPerAccess<T>;
    const T* from = x.data<T>();
    T* to = y.data<T>();
    const bool packed = channels % N == 0 && aligned16(from) && aligned16(to);
    const int64_t packs = packed ? count / N : count;
    launch(packed ? resample_kernel<T, I, N> : resample_kernel<T, I, 1>, grid_for(packs), from, Axis(rows), Axis(columns), channels, packs,
           to);
  });
}
void window_max(const Tensor& x, const AxisMap& rows, const AxisMap& columns, Tensor& y, Tensor& place) {
  const int64_t count = y.numel();
  visit_types("window_max", x.dtype(), count, [&]<typename T, typename I>() {
    launch(window_max_kernel<T, I>, grid_for(count), x.data<T>(), Axis(rows), Axis(columns), channels_of(y), count, y.data<T>(),
           place.data<int64_t>());
  });
}
void window_max_backward(const Tensor& dy, const Tensor& place, const AxisMap& rows, const AxisMap& columns, Tensor& dx) {
  const int64_t count = dx.numel();
  visit_types("window_max", dx.dtype(), count, [&]<typename T, typename I>() {
    launch(window_max_backward_kernel<T, I>, grid_for(count), dy.data<T>(), place.data<int64_t>(), Axis(rows), Axis(columns),
           channels_of(dx), count, dx.data<T>());
  });
}
void unfold(const Tensor& x, const ConvGeometry& g, Tensor& y) {
  const int64_t count = y.numel();
  visit_types("unfold", x.dtype(), count, [&]<typename T, typename I>() {
    launch(unfold_kernel<T, I>, grid_for(count), x.data<T>(), Windows(x, y, g), count, y.data<T>());
  });
}
void fold(const Tensor& y, const ConvGeometry& g, Tensor& x) {
  const int64_t count = x.numel();
  visit_types("fold", y.dtype(), count, [&]<typename T, typename I>() {
    launch(fold_kernel<T, I>, grid_for(count), y.data<T>(), Windows(x, y, g), count, x.data<T>());
  });
}

}  // namespace

void register_resample() {
  kernel::resample.set(DeviceType::cuda, resample);
  kernel::window_max.set(DeviceType::cuda, window_max);
  kernel::window_max_backward.set(DeviceType::cuda, window_max_backward);
  kernel::unfold.set(DeviceType::cuda, unfold);
  kernel::fold.set(DeviceType::cuda, fold);
}

}  // namespace plumb::cuda_backend
