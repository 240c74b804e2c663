// Convolutions by direct sums: a thread adds up one result, and a block one set of weights. For groups of few channels, depthwise above
// all, there is nothing for a matrix product to reuse: each input is read once from memory and for each tap from L1. Bytes of a depthwise 3
// × 3: input and output once, 18 loads from L1 for a result. The weight's gradient: input and output for every eight taps once, from L2.
#include "cuda/kernels/conv_direct.h"

#include <cmath>

#include "cuda/kernels/conv_chunks.h"
#include "cuda/kernels/conv_plan.h"
#include "cuda/kernels/elements.h"
#include "cuda/kernels/places.h"
#include "cuda/runtime/launch.h"
#include "cuda/runtime/memory.h"
#include "cuda/runtime/warp.h"

namespace plumb::cuda_backend {
namespace {

// Element n of images [images, channels, rows, columns], stored with channels last or row-major.
template <typename I>
struct ImageElement {
  int64_t image, channel, row, column;
  __device__ ImageElement(int64_t n, int64_t channels, int64_t rows, int64_t columns, bool channels_last) {
    const I inner = static_cast<I>(channels);
    const Place<I> at(channels_last ? static_cast<I>(n) / inner : n, rows, columns);
    image = channels_last ? at.plane : static_cast<I>(at.plane) / inner;
    channel = channels_last ? static_cast<I>(n) % inner : static_cast<I>(at.plane) % inner;
    row = at.row, column = at.column;
  }
};

template <typename T, typename I>
__global__ void conv_sums(ConvPlan p, const T* x, const T* weight, const T* bias, int64_t count, bool channels_last, T* y) {
  for (int64_t n = thread_index(); n < count; n += grid_threads()) {
    const ImageElement<I> at(n, p.o, p.y, p.x, channels_last);
    const int64_t image = at.image, o = at.channel, g = o / p.out_group();
    const T *from = x + image * p.in[0] + g * p.in_group() * p.in[1], *w = weight + o * p.in_group() * p.taps();
    compute_t<T> sum = bias ? load(bias[o]) : 0;
    for (int64_t c = 0; c < p.in_group(); ++c)
      for (int64_t i = 0; i < p.kh; ++i) {
        const int64_t row = p.reads(0, at.row, i);
        if (row < 0 || row >= p.h) continue;
        for (int64_t j = 0; j < p.kw; ++j) {
          const int64_t column = p.reads(1, at.column, j);
          if (column >= 0 && column < p.w)
            sum = std::fma(load(from[c * p.in[1] + row * p.in[2] + column * p.in[3]]), load(w[(c * p.kh + i) * p.kw + j]), sum);
        }
      }
    y[n] = static_cast<T>(sum);
  }
}

template <typename T, typename I>
__global__ void conv_transpose_sums(ConvPlan p, const T* y, const T* weight, const T* bias, int64_t count, bool channels_last, T* x) {
  for (int64_t n = thread_index(); n < count; n += grid_threads()) {
    const ImageElement<I> at(n, p.c, p.h, p.w, channels_last);
    const int64_t image = at.image, c = at.channel, g = c / p.in_group();
    compute_t<T> sum = bias ? load(bias[c]) : 0;
    for (int64_t i = 0; i < p.kh; ++i) {
      const int64_t row = p.reader(0, at.row, i);
      if (row < 0) continue;
      for (int64_t j = 0; j < p.kw; ++j) {
        const int64_t column = p.reader(1, at.column, j);
        if (column < 0) continue;
        const T* from = y + image * p.out[0] + g * p.out_group() * p.out[1] + row * p.out[2] + column * p.out[3];
        const T* w = weight + ((g * p.out_group() * p.in_group() + c % p.in_group()) * p.kh + i) * p.kw + j;
        for (int64_t o = 0; o < p.out_group(); ++o) sum = std::fma(load(from[o * p.out[1]]), load(w[o * p.in_group() * p.taps()]), sum);
      }
    }
    x[n] = static_cast<T>(sum);
  }
}

constexpr int kTapsAtOnce = 8, kWeightThreads = 256;

// Block (pair of an output and an input channel, chunk of places): partial[chunk, weight] for all taps of the pair.
template <typename T, typename I>
__global__ void __launch_bounds__(kWeightThreads)
    conv_weight_sums(ConvPlan p, const T* y, const T* x, int64_t places_each, compute_t<T>* partial) {
  const int64_t pair = blockIdx.x, o = pair / p.in_group(), c = o / p.out_group() * p.in_group() + pair % p.in_group();
  const int64_t places = p.n * p.y * p.x, begin = blockIdx.y * places_each,
                end = begin + places_each < places ? begin + places_each : places;
  const T *from_y = y + o * p.out[1], *from_x = x + c * p.in[1];
  compute_t<T>* sums_to = partial + (static_cast<int64_t>(blockIdx.y) * gridDim.x + pair) * p.taps();
  for (int64_t tap = 0; tap < p.taps(); tap += kTapsAtOnce) {
    compute_t<T> sums[kTapsAtOnce] = {};
    for (int64_t n = begin + threadIdx.x; n < end; n += kWeightThreads) {
      const Place<I> at(n, p.y, p.x);
      const compute_t<T> value = load(from_y[at.plane * p.out[0] + at.row * p.out[2] + at.column * p.out[3]]);
#pragma unroll
      for (int k = 0; k < kTapsAtOnce; ++k) {
        const int64_t i = static_cast<uint32_t>(tap + k) / static_cast<uint32_t>(p.kw), j = tap + k - i * p.kw;
        const int64_t row = p.reads(0, at.row, i), column = p.reads(1, at.column, j);
        if (i < p.kh && row >= 0 && row < p.h && column >= 0 && column < p.w)
          sums[k] = std::fma(value, load(from_x[at.plane * p.in[0] + row * p.in[2] + column * p.in[3]]), sums[k]);
      }
    }
#pragma unroll
    for (int k = 0; k < kTapsAtOnce; ++k) {
      const compute_t<T> sum = block_sum(sums[k]);
      if (threadIdx.x == 0 && tap + k < p.taps()) sums_to[tap + k] = sum;
    }
  }
}

}  // namespace

void conv_directly(const Tensor& x, const Tensor& weight, const Tensor& bias, const ConvGeometry& g, Tensor& y) {
  const ConvPlan p(x, weight, y, g);
  const int64_t count = y.numel();
  visit_floating("conv", x.dtype(), [&]<typename T>() {
    visit_index_type(count, [&]<typename I>() {
      launch(conv_sums<T, I>, grid_for(count), p, x.data<T>(), weight.data<T>(), data_or_null<T>(bias), count, !y.is_contiguous(),
             y.data<T>());
    });
  });
}

void conv_transpose_directly(const Tensor& y, const Tensor& weight, const Tensor& bias, const ConvGeometry& g, Tensor& x) {
  const ConvPlan p(x, weight, y, g);
  const int64_t count = x.numel();
  visit_floating("conv_transpose", x.dtype(), [&]<typename T>() {
    visit_index_type(count, [&]<typename I>() {
      launch(conv_transpose_sums<T, I>, grid_for(count), p, y.data<T>(), weight.data<T>(), data_or_null<T>(bias), count, !x.is_contiguous(),
             x.data<T>());
    });
  });
}

void conv_weight_directly(const Tensor& y, const Tensor& x, const ConvGeometry& g, Tensor& weight) {
  const ConvPlan p(x, weight, y, g);
  const int64_t pairs = p.o * p.in_group(), places = p.n * p.y * p.x;
  const int64_t chunks = chunks_of(pairs, places, 8 * kWeightThreads), each = (places + chunks - 1) / chunks;
  const Grid grid{dim3(static_cast<unsigned>(pairs), static_cast<unsigned>(chunks)), dim3(kWeightThreads)};
  visit_floating("conv_weight", x.dtype(), [&]<typename T>() {
    Scratch<compute_t<T>> partial(chunks * weight.numel());
    visit_index_type(places,
                     [&]<typename I>() { launch(conv_weight_sums<T, I>, grid, p, y.data<T>(), x.data<T>(), each, partial.data()); });
    add_chunks<T>(partial.data(), chunks, weight.numel(), weight.data<T>());
  });
}

}  // namespace plumb::cuda_backend
