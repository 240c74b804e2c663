// Attention on tensor cores, forward (Dao, FlashAttention-2, 2023): a block holds a tile of queries and goes through the keys that they
// see a tile at a time, with a running maximum and sum for each row; scores never leave registers.
//
// Operations: 4·T·S·D a head (half if causal), on tensor cores 2 048 multiply-adds an instruction. Each 16 × 8 fragment of keys or values
// (256 bytes of shared memory) is used by kRowTiles instructions: two balance shared memory's 128 bytes a cycle with the tensor cores.
// Bytes: q and out once, k and v once for each query tile, from L2 (one head's k and v: 256 KB at 1 024 × 64 in bf16).
// Shared memory: a tile each of q, k and v, 36 to 70 KB, so 3 to 6 blocks a multiprocessor; registers allow 2 or 3 of 128 threads.
// The next tile of values travels while scores are computed, the next tile of keys while values are added.
#include "cuda/kernels/attention_tile.h"

namespace plumb::cuda_backend {
namespace {

template <int kWidth>
struct ForwardTiling {
  static constexpr int kWarps = 4, kThreads = 32 * kWarps;
  static constexpr int kRowTiles = kWidth <= 128 ? 2 : 1;
  static constexpr int kQueries = kWarps * kRowTiles * 16;
  static constexpr int kKeys = kWidth <= 64 ? 64 : 32;
  static constexpr size_t kSharedBytes = sizeof(uint16_t) * kPitch<kWidth> * (kQueries + 2 * kKeys);
};

/// The running softmax of a lane's rows: row r · 16 + g and the one 8 below.
template <int kRowTiles>
struct RunningSoftmax {
  float most[kRowTiles][2], total[kRowTiles][2];

  __device__ __forceinline__ RunningSoftmax() {
#pragma unroll
    for (int r = 0; r < kRowTiles; ++r)
#pragma unroll
      for (int i = 0; i < 2; ++i) most[r][i] = -std::numeric_limits<float>::infinity(), total[r][i] = 0;
  }

  /// s ← 2^(s − most) with the new maximum; what was summed before, `out` too, is brought to it.
  template <int kTiles, int kOutTiles>
  __device__ __forceinline__ void update(FragmentC (&s)[kRowTiles][kTiles], FragmentC (&out)[kRowTiles][kOutTiles]) {
#pragma unroll
    for (int r = 0; r < kRowTiles; ++r)
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        float high = most[r][i];
#pragma unroll
        for (int n = 0; n < kTiles; ++n) high = fmaxf(high, fmaxf(s[r][n].value[2 * i], s[r][n].value[2 * i + 1]));
        high = fmaxf(high, shuffle_xor(high, 1));  // the four lanes that share the row
        high = fmaxf(high, shuffle_xor(high, 2));
        const float shift = high == -std::numeric_limits<float>::infinity() ? 0.0f : high;
        const float old = fast_exp2(most[r][i] - shift);
        float sum = 0;
#pragma unroll
        for (int n = 0; n < kTiles; ++n)
#pragma unroll
          for (int j = 2 * i; j < 2 * i + 2; ++j) {
            s[r][n].value[j] = fast_exp2(s[r][n].value[j] - shift);
            sum += s[r][n].value[j];
          }
        most[r][i] = high;
        total[r][i] = total[r][i] * old + sum;  // of this lane's columns: joined at the end
#pragma unroll
        for (int n = 0; n < kOutTiles; ++n) out[r][n].value[2 * i] *= old, out[r][n].value[2 * i + 1] *= old;
      }
  }
  __device__ __forceinline__ void join_totals() {
#pragma unroll
    for (int r = 0; r < kRowTiles; ++r)
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        total[r][i] += shuffle_xor(total[r][i], 1);
        total[r][i] += shuffle_xor(total[r][i], 2);
      }
  }
};

template <typename T, int kWidth>
__global__ void __launch_bounds__(128)
    attention_forward(AttentionArguments<T> a, HeadRows<T> out, float* lse, bool aligned, bool aligned_out) {
  using Tiling = ForwardTiling<kWidth>;
  constexpr int kQueries = Tiling::kQueries, kKeys = Tiling::kKeys, kThreads = Tiling::kThreads, kRowTiles = Tiling::kRowTiles;
  T* query_tile = dynamic_shared<T>();
  T *key_tile = query_tile + kQueries * kPitch<kWidth>, *value_tile = key_tile + kKeys * kPitch<kWidth>;

  // Blocks of one head follow each other, those with the most keys first.
  const int tiles = (a.queries + kQueries - 1) / kQueries;
  const int q0 = (tiles - 1 - static_cast<int>(blockIdx.x % tiles)) * kQueries;
  const int h = static_cast<int>(blockIdx.x / tiles % a.heads), b = static_cast<int>(blockIdx.x / tiles / a.heads), g = a.group_of(h);
  const T *keys = a.k.of(b, g), *values = a.v.of(b, g);
  const IndexRange range = a.visible_keys(q0, kQueries);
  const int warp_row = static_cast<int>(threadIdx.x) / 32 * kRowTiles * 16;

  Products<kRowTiles, kWidth> sums;
  clear(sums);
  RunningSoftmax<kRowTiles> softmax;
  start_tile<kQueries, kWidth, kThreads>(query_tile, a.q.of(b, h), a.q.row, q0, a.queries, a.width, aligned);
  start_tile<kKeys, kWidth, kThreads>(key_tile, keys, a.k.row, range.begin, a.keys, a.width, aligned);
  copy_async_commit();
  for (int k0 = range.begin; k0 < range.end; k0 += kKeys) {
    copy_async_wait<0>();
    __syncthreads();  // keys are here, and nobody reads the last values any more
    start_tile<kKeys, kWidth, kThreads>(value_tile, values, a.v.row, k0, a.keys, a.values, aligned);
    copy_async_commit();
    Products<kRowTiles, kKeys> s;
    clear(s);
    multiply_rows<kWidth>(s, query_tile + warp_row * kPitch<kWidth>, key_tile);
    finish_scores<false>(s, a, b, h, q0 + warp_row, k0, a.sees_all(q0, kQueries, k0, kKeys));
    softmax.update(s, sums);
    if (a.dropout.on) drop_weights(s, a, b, h, q0 + warp_row, k0);
    copy_async_wait<0>();
    __syncthreads();  // values are here, and nobody reads these keys any more
    if (k0 + kKeys < range.end) {
      start_tile<kKeys, kWidth, kThreads>(key_tile, keys, a.k.row, k0 + kKeys, a.keys, a.width, aligned);
      copy_async_commit();
    }
    multiply_weights<kWidth>(sums, s, value_tile);
  }
  copy_async_wait<0>();  // of a query tile that sees nothing
  __syncthreads();

  softmax.join_totals();
  const auto inverse = [&](int r, int i) { return softmax.total[r][i] == 0 ? 0.0f : 1 / softmax.total[r][i]; };
  store_rows<kWidth>(sums, query_tile + warp_row * kPitch<kWidth>, out.of(b, h), out.row, q0 + warp_row, a.queries, a.values, aligned_out,
                     inverse);
  if (lane_index() % 4 == 0)
#pragma unroll
    for (int r = 0; r < kRowTiles; ++r)
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int query = q0 + warp_row + r * 16 + i * 8 + lane_index() / 4;
        const float total = softmax.total[r][i];
        if (query < a.queries)
          lse[a.row_of(b, h, query)] = total == 0 ? -std::numeric_limits<float>::infinity() : softmax.most[r][i] * kLogOf2 + logf(total);
      }
}

}  // namespace

template <typename T>
void attention_on_tensor_cores(const AttentionArguments<T>& a, Tensor& out, Tensor& lse) {
  const HeadRows<T> rows(out);
  const bool aligned = a.q.aligned(a.width) && a.k.aligned(a.width) && a.v.aligned(a.values);
  visit_padded_width(std::max(a.width, a.values), [&]<int kWidth>() {
    using Tiling = ForwardTiling<kWidth>;
    const int64_t blocks = int64_t{a.batch} * a.heads * ((a.queries + Tiling::kQueries - 1) / Tiling::kQueries);
    const Grid grid{dim3(static_cast<unsigned>(blocks)), dim3(Tiling::kThreads), Tiling::kSharedBytes};
    launch(attention_forward<T, kWidth>, grid, a, rows, lse.data<float>(), aligned, rows.aligned(a.values));
  });
}

template void attention_on_tensor_cores<bfloat16>(const AttentionArguments<bfloat16>&, Tensor&, Tensor&);
template void attention_on_tensor_cores<half>(const AttentionArguments<half>&, Tensor&, Tensor&);

}  // namespace plumb::cuda_backend
