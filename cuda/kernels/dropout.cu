// Dropout on the GPU. A thread makes the four words of a counter (eight of two for 16-bit types) and takes the elements that belong to
// them. Bytes: read x, write y, 2 · sizeof(T) an element. Bound: memory in f32; Philox costs about 20 integer instructions an element,
// which is what bounds the 16-bit types.
#include "ops/kernels/dropout.h"

#include "cuda/kernels/elements.h"
#include "cuda/runtime/launch.h"
#include "cuda/runtime/random_place.h"
#include "engine/core/generator.h"
#include "ops/dropout_mask.h"

namespace plumb::cuda_backend {
namespace {

template <typename C>
struct Kept {
  C scale, shift, dropped;
  uint32_t threshold;
  __device__ C operator()(C x, uint32_t word) const { return word >= threshold ? x * scale + shift : dropped; }
};

// A draw for each element, N of them a thread.
template <typename T, int N>
__global__ void drop_elements(const T* x, int64_t n, DevicePlace place, Kept<compute_t<T>> kept, bool packed, T* y) {
  for (int64_t i = thread_index() * N; i < n; i += grid_threads() * N) {
    compute_t<T> v[N];
    if (packed && i + N <= n) {
      read_pack<N>(x + i, v);
    } else {
      for (int j = 0; j < N; ++j) v[j] = i + j < n ? load(x[i + j]) : compute_t<T>(0);
    }
#pragma unroll
    for (int j = 0; j < N; j += 4) {
      auto words = philox(place.seed, place.first() + static_cast<uint64_t>(i + j) / 4);
#pragma unroll
      for (size_t w = 0; w < 4; ++w) v[j + static_cast<int>(w)] = kept(v[j + static_cast<int>(w)], words[w]);
    }
    if (packed && i + N <= n) {
      write_pack<N>(y + i, v);
    } else {
      for (int j = 0; j < N && i + j < n; ++j) y[i + j] = static_cast<T>(v[j]);
    }
  }
}

// A draw for `share` neighbours; a thread takes 8 elements, which mostly share one.
template <typename T>
__global__ void drop_features(const T* x, int64_t n, DevicePlace place, int64_t share, Kept<compute_t<T>> kept, T* y) {
  constexpr int N = 8;
  for (int64_t first = thread_index() * N; first < n; first += grid_threads() * N) {
    int64_t draw = -1;
    uint32_t word = 0;
    for (int64_t i = first; i < n && i < first + N; ++i) {
      if (i / share != draw) {
        draw = i / share;
        word = philox(place.seed, place.first() + static_cast<uint64_t>(draw / 4))[static_cast<size_t>(draw % 4)];
      }
      y[i] = static_cast<T>(kept(load(x[i]), word));
    }
  }
}

void dropout(const Tensor& input, DropoutDraw draw, DropoutValues values, Tensor& output) {
  int64_t n = input.numel();
  if (n == 0) return;
  DevicePlace place = device_place(draw.seed, draw.counter);
  visit_floating("dropout", input.dtype(), [&]<typename T>() {
    using C = compute_t<T>;
    constexpr int N = kPerAccess<T> < 4 ? 4 : kPerAccess<T>;
    Kept<C> kept{static_cast<C>(values.scale), static_cast<C>(values.shift), static_cast<C>(values.dropped), dropout_threshold(draw.p)};
    const T* x = input.data<T>();
    T* y = output.data<T>();
    if (draw.share != 1) return launch(drop_features<T>, grid_for(pieces(n, 8)), x, n, place, draw.share, kept, y);
    launch(drop_elements<T, N>, grid_for(pieces(n, N)), x, n, place, kept, aligned16(x) && aligned16(y), y);
  });
}

}  // namespace

void register_dropout() { kernel::dropout.set(DeviceType::cuda, dropout); }

}  // namespace plumb::cuda_backend
