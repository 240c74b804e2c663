// Grouped matrix products: segments of rows, each with a matrix of its own, in one launch whatever the segments' sizes, which only the GPU
// knows. The grid is as large as it could be needed (rows / tile + segments tiles of rows); a block finds its tile from the offsets and
// goes if there is none. bf16 and f16 run on tensor cores (tile_product.h), f32 and f64 without (plain_product.h). Operations: 2 · rows · k
// · n. Bytes: every expert's matrix once from memory, then from L2 for each of its tiles of rows.
#include "cuda/kernels/grouped_matmul.h"

#include "cuda/kernels/plain_product.h"
#include "cuda/kernels/row_tiles.h"
#include "cuda/kernels/tile_product.h"
#include "cuda/runtime/launch.h"
#include "ops/kernels/grouped_matmul.h"

namespace plumb::cuda_backend {
namespace {

template <typename T>
inline constexpr int kTileRows = sizeof(T) == 2 ? kProductTile : kPlainTile;

// A matrix per segment: element (e, i, k) is data[e · segment + i · stride + k · depth_stride].
template <typename T>
struct Matrices {
  const T* data;
  int64_t segment, stride, depth_stride;
  __device__ Operand<T> of(int e) const { return {data + e * segment, stride, depth_stride}; }
};

// -- products of rows with their segment's matrix ---------------------------------------------------------------

// Blocks of one tile of rows follow each other: they share its rows, and the next tiles most often the matrix.
template <typename T, bool kRightDense>
__global__ void __launch_bounds__(kProductThreads) grouped_product(Operand<T> a, bool a_aligned, Matrices<T> b, bool b_aligned,
                                                                   const T* bias, Offsets offsets, int64_t k, int64_t n, T* out) {
  const int64_t column_tiles = (n + kProductTile - 1) / kProductTile,
                column = static_cast<int64_t>(blockIdx.x) % column_tiles * kProductTile;
  const RowTile tile = row_tile<kProductTile>(offsets, static_cast<int64_t>(blockIdx.x) / column_tiles);
  if (tile.segment < 0) return;
  const Operand<T> left{a.data + tile.begin * a.stride, a.stride, a.depth_stride}, matrix = b.of(tile.segment);
  const Operand<T> right{matrix.data + column * matrix.stride, matrix.stride, matrix.depth_stride};
  const int64_t rows = tile.end - tile.begin, columns = n - column < kProductTile ? n - column : kProductTile;
  FragmentC sums[4][4];
  tile_product<true, kRightDense>(sums, left, rows, a_aligned, right, columns, b_aligned, k, dynamic_shared<T>());
  for_sum_pairs(sums, [&](int i, int j, float first, float second) {
    if (i >= rows || j >= columns) return;
    const bool both = j + 1 < columns;
    if (bias) {
      first += static_cast<float>(bias[tile.segment * n + column + j]);
      if (both) second += static_cast<float>(bias[tile.segment * n + column + j + 1]);
    }
    T* to = out + (tile.begin + i) * n + column + j;
    if (both && n % 2 == 0) {
      *reinterpret_cast<uint32_t*>(to) = pack_pair<T>(first, second);
    } else {
      to[0] = T(first);
      if (both) to[1] = T(second);
    }
  });
}

template <typename T>
__global__ void __launch_bounds__(kPlainThreads)
    grouped_product_plain(Operand<T> a, Matrices<T> b, const T* bias, Offsets offsets, int64_t k, int64_t n, T* out) {
  const int64_t column_tiles = (n + kPlainTile - 1) / kPlainTile, column = static_cast<int64_t>(blockIdx.x) % column_tiles * kPlainTile;
  const RowTile tile = row_tile<kPlainTile>(offsets, static_cast<int64_t>(blockIdx.x) / column_tiles);
  if (tile.segment < 0) return;
  const Operand<T> matrix = b.of(tile.segment);
  const MatrixLoader<T, T> left{a.data + tile.begin * a.stride, a.stride, a.depth_stride, tile.end - tile.begin, k};
  const MatrixLoader<T, T> right{matrix.data + column * matrix.stride, matrix.stride, matrix.depth_stride, n - column, k};
  PlainSums<T> sums;
  plain_product<T>(sums, left, right, 0, k);
  for_plain_sums<T>(sums, [&](int i, int j, T sum) {
    if (tile.begin + i < tile.end && column + j < n)
      out[(tile.begin + i) * n + column + j] = bias ? sum + bias[tile.segment * n + column + j] : sum;
  });
}

template <typename T>
void grouped_matmul_typed(const Tensor& a, const Tensor& b, const Tensor& bias, const Tensor& offsets, Tensor& out) {
  const Strides &sa = a.strides(), &sb = b.strides();
  const int64_t rows = a.size(0), k = a.size(1), n = out.size(1);
  const Offsets segments{offsets.data<int64_t>(), static_cast<int>(b.size(0)), rows};
  const Operand<T> left{a.data<T>(), sa[0], sa[1]};
  const Matrices<T> right{b.data<T>(), sb[0], sb[2], sb[1]};
  const T* add = bias.defined() ? bias.data<T>() : nullptr;
  const int64_t blocks = (rows / kTileRows<T> + segments.count) * ((n + kTileRows<T> - 1) / kTileRows<T>);
  const auto grid = [&](int threads, size_t bytes) {
    return Grid{dim3(static_cast<unsigned>(blocks)), dim3(static_cast<unsigned>(threads)), bytes};
  };
  if constexpr (sizeof(T) == 2) {
    const bool a_aligned = copies_16_bytes<true>(left, k), matrices_aligned = sb[0] % 8 == 0;
    const Operand<T> matrix{right.data, right.stride, right.depth_stride};
    if (sb[1] == 1)
      launch(grouped_product<T, true>, grid(kProductThreads, kProductSharedBytes<true, true>), left, a_aligned, right,
             matrices_aligned && copies_16_bytes<true>(matrix, k), add, segments, k, n, out.data<T>());
    else
      launch(grouped_product<T, false>, grid(kProductThreads, kProductSharedBytes<true, false>), left, a_aligned, right,
             matrices_aligned && copies_16_bytes<false>(matrix, n), add, segments, k, n, out.data<T>());
  } else {
    launch(grouped_product_plain<T>, grid(kPlainThreads, 0), left, right, add, segments, k, n, out.data<T>());
  }
}

// -- products of a segment's rows with each other -----------------------------------------------------------------

// blockIdx.x: the segment's tile; the sum over its rows is one block's, in order. Rows of a and b are the depth.
template <typename T, typename Out>
__global__ void __launch_bounds__(kProductThreads)
    grouped_outer_kernel(Operand<T> a, bool a_aligned, Operand<T> b, bool b_aligned, Offsets offsets, int64_t m, int64_t n, Out* out) {
  const int64_t down = (m + kProductTile - 1) / kProductTile, across = (n + kProductTile - 1) / kProductTile;
  const int64_t e = static_cast<int64_t>(blockIdx.x) / (down * across),
                row = static_cast<int64_t>(blockIdx.x) / across % down * kProductTile,
                column = static_cast<int64_t>(blockIdx.x) % across * kProductTile, begin = offsets.begin(e);
  const Operand<T> left{a.data + row * a.stride + begin * a.depth_stride, a.stride, a.depth_stride};
  const Operand<T> right{b.data + column * b.stride + begin * b.depth_stride, b.stride, b.depth_stride};
  FragmentC sums[4][4];
  tile_product<false, false>(sums, left, m - row, a_aligned, right, n - column, b_aligned, offsets.size(e), dynamic_shared<T>());
  for_sum_pairs(sums, [&](int i, int j, float first, float second) {
    if (row + i >= m || column + j >= n) return;
    Out* to = out + (e * m + row + i) * n + column + j;
    if (sizeof(Out) == 2 && n % 2 == 0) {
      *reinterpret_cast<uint32_t*>(to) = pack_pair<T>(first, second);
    } else {
      to[0] = Out(first);
      if (column + j + 1 < n) to[1] = Out(second);
    }
  });
}

template <typename T>
__global__ void __launch_bounds__(kPlainThreads)
    grouped_outer_plain(Operand<T> a, Operand<T> b, Offsets offsets, int64_t m, int64_t n, T* out) {
  const int64_t down = (m + kPlainTile - 1) / kPlainTile, across = (n + kPlainTile - 1) / kPlainTile;
  const int64_t e = static_cast<int64_t>(blockIdx.x) / (down * across), row = static_cast<int64_t>(blockIdx.x) / across % down * kPlainTile,
                column = static_cast<int64_t>(blockIdx.x) % across * kPlainTile, begin = offsets.begin(e), depth = offsets.size(e);
  const MatrixLoader<T, T> left{a.data + row * a.stride + begin * a.depth_stride, a.stride, a.depth_stride, m - row, depth};
  const MatrixLoader<T, T> right{b.data + column * b.stride + begin * b.depth_stride, b.stride, b.depth_stride, n - column, depth};
  PlainSums<T> sums;
  plain_product<T>(sums, left, right, 0, depth);
  for_plain_sums<T>(sums, [&](int i, int j, T sum) {
    if (row + i < m && column + j < n) out[(e * m + row + i) * n + column + j] = sum;
  });
}

template <typename T>
void grouped_outer_typed(const Tensor& a, const Tensor& b, const Tensor& offsets, Tensor& out) {
  const Strides &sa = a.strides(), &sb = b.strides();
  const int64_t m = a.size(1), n = b.size(1);
  const Offsets segments{offsets.data<int64_t>(), static_cast<int>(out.size(0)), a.size(0)};
  const Operand<T> left{a.data<T>(), sa[1], sa[0]}, right{b.data<T>(), sb[1], sb[0]};
  const auto tiles = [](int64_t size) { return (size + kTileRows<T> - 1) / kTileRows<T>; };
  const dim3 blocks(static_cast<unsigned>(out.size(0) * tiles(m) * tiles(n)));
  if constexpr (sizeof(T) == 2) {
    const auto go = [&]<typename Out>() {
      launch(grouped_outer_kernel<T, Out>, {blocks, dim3(kProductThreads), kProductSharedBytes<false, false>}, left,
             copies_16_bytes<false>(left, m), right, copies_16_bytes<false>(right, n), segments, m, n, out.data<Out>());
    };
    if (out.dtype() == f32) go.template operator()<float>();
    else go.template operator()<T>();
  } else
    launch(grouped_outer_plain<T>, {blocks, dim3(kPlainThreads)}, left, right, segments, m, n, out.data<T>());
}

}  // namespace

void grouped_matmul(const Tensor& a, const Tensor& b, const Tensor& bias, const Tensor& offsets, Tensor& out) {
  if (out.numel() == 0) return;
  visit_floating("grouped_matmul", a.dtype(), [&]<typename T>() { grouped_matmul_typed<T>(a, b, bias, offsets, out); });
}
void grouped_outer(const Tensor& a, const Tensor& b, const Tensor& offsets, Tensor& out) {
  if (out.numel() == 0) return;
  visit_floating("grouped_outer", a.dtype(), [&]<typename T>() { grouped_outer_typed<T>(a, b, offsets, out); });
}

void register_grouped_matmul() {
  kernel::grouped_matmul.set(DeviceType::cuda, grouped_matmul);
  kernel::grouped_outer.set(DeviceType::cuda, grouped_outer);
}

}  // namespace plumb::cuda_backend
