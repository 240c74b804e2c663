// Convolutions as matrix products whose operands are read from images place by place (no copy of the windows), on plain_product.h; direct
// sums where a group has few channels (conv_direct.cu). Rows of a product are places, 64 of them to a block, columns are channels.
// Operations: 2 · N · O · Y · X · (C / groups) · kh · kw. Bytes from L2 for a multiply-add: an element of each operand for 64 of them.
#include "cuda/kernels/conv.h"

#include "cuda/kernels/conv_chunks.h"
#include "cuda/kernels/conv_direct.h"
#include "cuda/kernels/conv_plan.h"
#include "cuda/kernels/elements.h"
#include "cuda/kernels/places.h"
#include "cuda/kernels/plain_product.h"
#include "cuda/runtime/launch.h"
#include "cuda/runtime/memory.h"
#include "engine/core/data_kernels.h"

namespace plumb::cuda_backend {
namespace {

// A place of an image: number n of [images, rows, columns].
struct ImagePlace {
  int64_t image, row, column;
  __device__ ImagePlace(int64_t n, int64_t rows, int64_t columns) {
    const int64_t line = quotient(n, columns);
    column = n - line * columns;
    image = quotient(line, rows);
    row = line - image * rows;
  }
};

// (channel, kernel row, kernel column) of number d of [channels, kh, kw].
struct Tap {
  int64_t channel, i, j;
  __device__ Tap(int64_t d, const ConvPlan& p) {
    const auto n = static_cast<uint32_t>(d), kw = static_cast<uint32_t>(p.kw), kh = static_cast<uint32_t>(p.kh);
    j = n % kw, i = n / kw % kh, channel = n / kw / kh;
  }
};

// One of 64 places a thread, four of 16 numbers of depth: `value(tap)` at the thread's place, 0 where `some` is false.
template <typename A, typename Value>
struct PlaceLoader {
  const ConvPlan& p;
  int64_t depth;
  bool some;
  Value value;

  template <typename Store>
  __device__ void load(int64_t k0, Store&& store) const {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int i = static_cast<int>(threadIdx.x) % kPlainTile,
                k = static_cast<int>(threadIdx.x) / kPlainTile + j * (kPlainThreads / kPlainTile);
      store(i, k, some && k0 + k < depth ? value(Tap(k0 + k, p)) : A(0));
    }
  }
};
template <typename A, typename Value>
__device__ PlaceLoader<A, Value> place_loader(const ConvPlan& p, int64_t depth, bool some, Value value) {
  return {p, depth, some, value};
}

// Four of 64 rows a thread, one of 16 numbers of depth: value(row, number of depth).
template <typename A, typename Value>
struct DepthLoader {
  int64_t count, depth;
  Value value;

  template <typename Store>
  __device__ void load(int64_t k0, Store&& store) const {
    const int k = static_cast<int>(threadIdx.x) % kPlainDepth;
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int i = static_cast<int>(threadIdx.x) / kPlainDepth + j * (kPlainThreads / kPlainDepth);
      store(i, k, i < count && k0 + k < depth ? value(i, k0 + k) : A(0));
    }
  }
};
template <typename A, typename Value>
__device__ DepthLoader<A, Value> depth_loader(int64_t count, int64_t depth, Value value) {
  return {count, depth, value};
}

// blockIdx: tile of places, tile of a group's output channels, group.
template <typename T>
__global__ void __launch_bounds__(kPlainThreads) conv_product(ConvPlan p, const T* x, const T* weight, const T* bias, T* y) {
  using A = compute_t<T>;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kPlainTile, channel = static_cast<int64_t>(blockIdx.y) * kPlainTile,
                g = blockIdx.z;
  const int64_t places = p.n * p.y * p.x, depth = p.in_group() * p.taps(), own = first + threadIdx.x % kPlainTile;
  const ImagePlace at(own, p.y, p.x);
  const T* image = x + at.image * p.in[0] + g * p.in_group() * p.in[1];
  const auto left = place_loader<A>(p, depth, own < places, [&](const Tap& t) {
    const int64_t row = p.reads(0, at.row, t.i), column = p.reads(1, at.column, t.j);
    return row >= 0 && row < p.h && column >= 0 && column < p.w ? load(image[t.channel * p.in[1] + row * p.in[2] + column * p.in[3]])
                                                                : A(0);
  });
  const MatrixLoader<T, A> right{weight + (g * p.out_group() + channel) * depth, depth, 1, p.out_group() - channel, depth};
  PlainSums<A> sums;
  plain_product<A>(sums, left, right, 0, depth);
  for_plain_sums<A>(sums, [&](int i, int j, A sum) {
    if (first + i >= places || channel + j >= p.out_group()) return;
    const ImagePlace to(first + i, p.y, p.x);
    const int64_t o = g * p.out_group() + channel + j;
    y[to.image * p.out[0] + o * p.out[1] + to.row * p.out[2] + to.column * p.out[3]] = static_cast<T>(bias ? sum + load(bias[o]) : sum);
  });
}

// blockIdx: tile of input places, tile of a group's input channels, group. The depth is the group's output channels and the taps.
template <typename T>
__global__ void __launch_bounds__(kPlainThreads) conv_transpose_product(ConvPlan p, const T* y, const T* weight, const T* bias, T* x) {
  using A = compute_t<T>;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kPlainTile, channel = static_cast<int64_t>(blockIdx.y) * kPlainTile,
                g = blockIdx.z;
  const int64_t places = p.n * p.h * p.w, depth = p.out_group() * p.taps(), own = first + threadIdx.x % kPlainTile;
  const ImagePlace at(own, p.h, p.w);
  const T* image = y + at.image * p.out[0] + g * p.out_group() * p.out[1];
  const auto left = place_loader<A>(p, depth, own < places, [&](const Tap& t) {
    const int64_t row = p.reader(0, at.row, t.i), column = p.reader(1, at.column, t.j);
    return row >= 0 && column >= 0 ? load(image[t.channel * p.out[1] + row * p.out[2] + column * p.out[3]]) : A(0);
  });
  const T* w = weight + (g * p.out_group() * p.in_group() + channel) * p.taps();
  const auto right = depth_loader<A>(p.in_group() - channel, depth, [&](int i, int64_t d) {
    const Tap t(d, p);
    return load(w[(t.channel * p.in_group() + i) * p.taps() + t.i * p.kw + t.j]);
  });
  PlainSums<A> sums;
  plain_product<A>(sums, left, right, 0, depth);
  for_plain_sums<A>(sums, [&](int i, int j, A sum) {
    if (first + i >= places || channel + j >= p.in_group()) return;
    const ImagePlace to(first + i, p.h, p.w);
    const int64_t c = g * p.in_group() + channel + j;
    x[to.image * p.in[0] + c * p.in[1] + to.row * p.in[2] + to.column * p.in[3]] = static_cast<T>(bias ? sum + load(bias[c]) : sum);
  });
}

// blockIdx: tile of a group's output channels, tile of its weights of one output channel, group and chunk of places.
template <typename T>
__global__ void __launch_bounds__(kPlainThreads)
    conv_weight_product(ConvPlan p, const T* y, const T* x, int64_t places_each, compute_t<T>* partial) {
  using A = compute_t<T>;
  const int64_t channel = static_cast<int64_t>(blockIdx.x) * kPlainTile, column = static_cast<int64_t>(blockIdx.y) * kPlainTile;
  const int64_t g = blockIdx.z % p.groups, chunk = blockIdx.z / p.groups;
  const int64_t places = p.n * p.y * p.x, columns = p.in_group() * p.taps(), begin = chunk * places_each,
                end = begin + places_each < places ? begin + places_each : places;
  const auto left = depth_loader<A>(p.out_group() - channel, end, [&](int i, int64_t n) {
    const ImagePlace at(n, p.y, p.x);
    return load(y[at.image * p.out[0] + (g * p.out_group() + channel + i) * p.out[1] + at.row * p.out[2] + at.column * p.out[3]]);
  });
  const auto right = depth_loader<A>(columns - column, end, [&](int i, int64_t n) {
    const ImagePlace at(n, p.y, p.x);
    const Tap t(column + i, p);
    const int64_t row = p.reads(0, at.row, t.i), place = p.reads(1, at.column, t.j);
    if (row < 0 || row >= p.h || place < 0 || place >= p.w) return A(0);
    return load(x[at.image * p.in[0] + (g * p.in_group() + t.channel) * p.in[1] + row * p.in[2] + place * p.in[3]]);
  });
  PlainSums<A> sums;
  plain_product<A>(sums, left, right, begin, end);
  A* to = partial + (chunk * p.o + g * p.out_group() + channel) * columns + column;
  for_plain_sums<A>(sums, [&](int i, int j, A sum) {
    if (channel + i < p.out_group() && column + j < columns) to[i * columns + j] = sum;
  });
}

unsigned tiles(int64_t size) { return static_cast<unsigned>((size + kPlainTile - 1) / kPlainTile); }

}  // namespace

void own_conv(const Tensor& x, const Tensor& given, const Tensor& bias, const ConvGeometry& g, Tensor& y) {
  if (y.numel() == 0) return;
  const Tensor weight = contiguous_data(given);
  const ConvPlan p(x, weight, y, g);
  if (kernel::sums_directly(weight.shape(), g.groups)) return conv_directly(x, weight, bias, g, y);
  visit_floating("conv", x.dtype(), [&]<typename T>() {
    const dim3 blocks(tiles(p.n * p.y * p.x), tiles(p.out_group()), static_cast<unsigned>(g.groups));
    launch(conv_product<T>, {blocks, dim3(kPlainThreads)}, p, x.data<T>(), weight.data<T>(), data_or_null<T>(bias), y.data<T>());
  });
}

void own_conv_transpose(const Tensor& y, const Tensor& given, const Tensor& bias, const ConvGeometry& g, Tensor& x) {
  if (x.numel() == 0) return;
  const Tensor weight = contiguous_data(given);
  const ConvPlan p(x, weight, y, g);
  if (kernel::sums_directly(weight.shape(), g.groups)) return conv_transpose_directly(y, weight, bias, g, x);
  visit_floating("conv_transpose", x.dtype(), [&]<typename T>() {
    const dim3 blocks(tiles(p.n * p.h * p.w), tiles(p.in_group()), static_cast<unsigned>(g.groups));
    launch(conv_transpose_product<T>, {blocks, dim3(kPlainThreads)}, p, y.data<T>(), weight.data<T>(), data_or_null<T>(bias), x.data<T>());
  });
}

void own_conv_weight(const Tensor& y, const Tensor& x, const ConvGeometry& g, Tensor& weight) {
  if (weight.numel() == 0) return;
  if (!weight.is_contiguous()) {
    Tensor rows = empty_like(weight);
    own_conv_weight(y, x, g, rows);
    return kernel::copy(weight.device(), rows, weight);
  }
  const ConvPlan p(x, weight, y, g);
  if (kernel::sums_directly(weight.shape(), g.groups)) return conv_weight_directly(y, x, g, weight);
  visit_floating("conv_weight", x.dtype(), [&]<typename T>() {
    const unsigned down = tiles(p.out_group()), across = tiles(p.in_group() * p.taps());
    const int64_t places = p.n * p.y * p.x, chunks = chunks_of(int64_t{down} * across * g.groups, places, 16 * kPlainDepth),
                  each = (places + chunks - 1) / chunks;
    Scratch<compute_t<T>> partial(chunks * weight.numel());
    const dim3 blocks(down, across, static_cast<unsigned>(g.groups * chunks));
    launch(conv_weight_product<T>, {blocks, dim3(kPlainThreads)}, p, y.data<T>(), x.data<T>(), each, partial.data());
    add_chunks<T>(partial.data(), chunks, weight.numel(), weight.data<T>());
  });
}

void register_conv() {
  kernel::conv.set(DeviceType::cuda, own_conv);
  kernel::conv_transpose.set(DeviceType::cuda, own_conv_transpose);
  kernel::conv_weight.set(DeviceType::cuda, own_conv_weight);
}

}  // namespace plumb::cuda_backend
