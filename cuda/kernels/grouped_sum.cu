// Sums of the rows of each segment, which a grouped layer's biases get for a gradient. A block adds 128 rows of a segment, 16 bytes of a
// row a thread: eight threads take every eighth row of the same columns, and are added in order; a second launch adds a segment's blocks in
// order. Bytes: every row once, and 1/128 of that (in f32) twice. Bound: memory.
#include "cuda/kernels/elements.h"
#include "cuda/kernels/row_tiles.h"
#include "cuda/runtime/launch.h"
#include "cuda/runtime/memory.h"
#include "ops/kernels/grouped_matmul.h"

namespace plumb::cuda_backend {
namespace {

constexpr int kRows = 128, kAcross = 32, kDown = 8, kThreads = kAcross * kDown;

// partial[tile, n] ← the sums of a tile of rows; blockIdx.x: the tile, and the strip of kAcross · kPack columns.
template <int kPack, typename T>
__global__ void __launch_bounds__(kThreads) sum_tiles(const T* x, Offsets offsets, int64_t n, compute_t<T>* partial) {
  using C = compute_t<T>;
  __shared__ C of_row[kDown][kAcross * kPack];
  const int64_t strips = (n + kAcross * kPack - 1) / (kAcross * kPack), index = static_cast<int64_t>(blockIdx.x) / strips;
  const RowTile tile = row_tile<kRows>(offsets, index);
  if (tile.segment < 0) return;
  const int across = static_cast<int>(threadIdx.x) % kAcross, down = static_cast<int>(threadIdx.x) / kAcross;
  const int64_t column = (static_cast<int64_t>(blockIdx.x) % strips * kAcross + across) * kPack;
  C sum[kPack] = {};
  if (column < n) {
#pragma unroll 4
    for (int64_t row = tile.begin + down; row < tile.end; row += kDown) {
      C v[kPack];
      read_pack(x + row * n + column, v);
#pragma unroll
      for (int e = 0; e < kPack; ++e) sum[e] += v[e];
    }
  }
#pragma unroll
  for (int e = 0; e < kPack; ++e) of_row[down][across * kPack + e] = sum[e];
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < kAcross * kPack; i += kThreads) {
    const int64_t at = static_cast<int64_t>(blockIdx.x) % strips * kAcross * kPack + i;
    if (at >= n) return;
    C all = of_row[0][i];
#pragma unroll
    for (int d = 1; d < kDown; ++d) all += of_row[d][i];
    partial[index * n + at] = all;
  }
}

// A segment's blocks follow each other, and its tiles come after those of the segments before it; kDown threads take every kDown-th of the
// tiles for a column.
template <typename C, typename Out>
__global__ void __launch_bounds__(kThreads) join_tiles(const C* partial, Offsets offsets, int64_t n, Out* out) {
  __shared__ C of_row[kDown][kAcross];
  const auto tiles_of = [&](int64_t e) { return (offsets.size(e) + kRows - 1) / kRows; };
  const int across = static_cast<int>(threadIdx.x) % kAcross, down = static_cast<int>(threadIdx.x) / kAcross;
  const int64_t blocks_across = (n + kAcross - 1) / kAcross, e = blockIdx.x / blocks_across,
                column = blockIdx.x % blocks_across * kAcross + across;
  int64_t before = 0;
  for (int64_t other = threadIdx.x; other < e; other += kThreads) before += tiles_of(other);
  before = block_sum(before);
  const int64_t count = column < n ? tiles_of(e) : 0;
  C sum = 0;
#pragma unroll 4
  for (int64_t i = down; i < count; i += kDown) sum += partial[(before + i) * n + column];
  of_row[down][across] = sum;
  __syncthreads();
  if (down != 0 || column >= n) return;
#pragma unroll
  for (int d = 1; d < kDown; ++d) sum += of_row[d][across];
  out[e * n + column] = Out(sum);
}

void grouped_sum(const Tensor& x, const Tensor& offsets, Tensor& out) {
  if (out.numel() == 0) return;
  const int64_t rows = x.size(0), n = x.size(1), segments = out.size(0), tiles = rows / kRows + segments;
  const Offsets of{offsets.data<int64_t>(), static_cast<int>(segments), rows};
  visit_floating("grouped_sum", x.dtype(), [&]<typename T>() {
    Scratch<compute_t<T>> partial(tiles * n, "grouped_sum");
    const auto blocks = [&](int64_t pack) { return Grid{dim3(static_cast<unsigned>(tiles * pieces(n, kAcross * pack))), dim3(kThreads)}; };
    if (n % kPerAccess<T> == 0 && aligned16(x.raw_data()))
      launch(sum_tiles<kPerAccess<T>, T>, blocks(kPerAccess<T>), x.data<T>(), of, n, partial.data());
    else launch(sum_tiles<1, T>, blocks(1), x.data<T>(), of, n, partial.data());
    const Grid joins{dim3(static_cast<unsigned>(segments * pieces(n, kAcross))), dim3(kThreads)};
    if (out.dtype() == x.dtype()) launch(join_tiles<compute_t<T>, T>, joins, partial.data(), of, n, out.data<T>());
    else launch(join_tiles<compute_t<T>, compute_t<T>>, joins, partial.data(), of, n, out.data<compute_t<T>>());
  });
}

}  // namespace

void register_grouped_sum() { kernel::grouped_sum.set(DeviceType::cuda, grouped_sum); }

}  // namespace plumb::cuda_backend
