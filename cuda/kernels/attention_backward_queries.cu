// The gradient of queries (attention_backward.h).
#include "cuda/kernels/attention_backward.h"

namespace plumb::cuda_backend {
namespace {

template <typename T, int kWidth>
__global__ void __launch_bounds__(128)
    attention_backward_queries(AttentionArguments<T> a, BackwardInputs<T> in, HeadRows<T> dq, bool aligned_out) {
  using Tiling = BackwardTiling<kWidth>;
  constexpr int kQueries = Tiling::kHeld, kKeys = Tiling::kOther, kThreads = Tiling::kThreads, kTiles = Tiling::kHeldTiles;
  T* query_tile = dynamic_shared<T>();
  T *dout_tile = query_tile + kQueries * kPitch<kWidth>, *key_tiles = dout_tile + kQueries * kPitch<kWidth>,
    *value_tiles = key_tiles + 2 * kKeys * kPitch<kWidth>;

  const int tiles = (a.queries + kQueries - 1) / kQueries;
  const int q0 = (tiles - 1 - static_cast<int>(blockIdx.x % tiles)) * kQueries;  // those with the most keys first
  const int h = static_cast<int>(blockIdx.x / tiles % a.heads), b = static_cast<int>(blockIdx.x / tiles / a.heads), g = a.group_of(h);
  const IndexRange range = a.visible_keys(q0, kQueries);
  const int warp_row = static_cast<int>(threadIdx.x) / 32 * kTiles * 16;
  const auto start_keys = [&](int k0, int buffer) {
    start_tile<kKeys, kWidth, kThreads>(key_tiles + buffer * kKeys * kPitch<kWidth>, a.k.of(b, g), a.k.row, k0, a.keys, a.width,
                                        in.aligned);
    start_tile<kKeys, kWidth, kThreads>(value_tiles + buffer * kKeys * kPitch<kWidth>, a.v.of(b, g), a.v.row, k0, a.keys, a.values,
                                        in.aligned);
    copy_async_commit();
  };

  float log_sums[kTiles][2], deltas[kTiles][2];  // of this lane's rows
#pragma unroll
  for (int r = 0; r < kTiles; ++r)
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int query = q0 + warp_row + r * 16 + i * 8 + lane_index() / 4;
      const int64_t row = a.row_of(b, h, query);
      log_sums[r][i] = log_sum(in.lse, row, query < a.queries);
      deltas[r][i] = query < a.queries ? in.delta[row] : 0.0f;
    }
  Products<kTiles, kWidth> sums;
  clear(sums);
  start_tile<kQueries, kWidth, kThreads>(query_tile, a.q.of(b, h), a.q.row, q0, a.queries, a.width, in.aligned);
  start_tile<kQueries, kWidth, kThreads>(dout_tile, in.dout.of(b, h), in.dout.row, q0, a.queries, a.values, in.aligned);
  copy_async_commit();  // also where no key is seen: what is not in a group is not waited for below
  if (range.begin < range.end) start_keys(range.begin, 0);
  for (int k0 = range.begin, buffer = 0; k0 < range.end; k0 += kKeys, buffer ^= 1) {
    copy_async_wait<0>();
    __syncthreads();  // these keys are here, and nobody reads the last ones any more
    if (k0 + kKeys < range.end) start_keys(k0 + kKeys, buffer ^ 1);
    const T *key_tile = key_tiles + buffer * kKeys * kPitch<kWidth>, *value_tile = value_tiles + buffer * kKeys * kPitch<kWidth>;
    const auto lane = [&](int row, int column) { return a.row_of(b, h, opaque(q0) + warp_row + row) * a.keys + opaque(k0) + column; };
    const uint32_t kept = a.dropout.on ? kept_weights<kTiles, kKeys / 8>(a.dropout, lane) : 0;
    Products<kTiles, kKeys> p, dp;
    clear(p);
    multiply_rows<kWidth>(p, query_tile + warp_row * kPitch<kWidth>, key_tile);
    finish_scores<false>(p, a, b, h, q0 + warp_row, k0, a.sees_all(q0, kQueries, k0, kKeys));
    clear(dp);
    multiply_rows<kWidth>(dp, dout_tile + warp_row * kPitch<kWidth>, value_tile);
    differentiate_scores(
        p, dp, a.dropout, kept, [&](int slot, int) { return log_sums[slot / 2][slot % 2]; },
        [&](int slot, int) { return deltas[slot / 2][slot % 2]; });
    multiply_weights<kWidth>(sums, dp, key_tile);
  }
  copy_async_wait<0>();
  __syncthreads();
  store_rows<kWidth>(sums, query_tile + warp_row * kPitch<kWidth>, dq.of(b, h), dq.row, q0 + warp_row, a.queries, a.width, aligned_out,
                     [&](int, int) { return a.scale; });
}

}  // namespace

template <typename T>
void attention_backward_of_queries(const AttentionArguments<T>& a, const BackwardInputs<T>& in, Tensor& dq) {
  const HeadRows<T> q(dq);
  visit_padded_width(std::max(a.width, a.values), [&]<int kWidth>() {
    launch(attention_backward_queries<T, kWidth>, backward_grid<kWidth>(int64_t{a.batch} * a.heads, a.queries), a, in, q,
           q.aligned(a.width));
  });
}

template void attention_backward_of_queries<bfloat16>(const AttentionArguments<bfloat16>&, const BackwardInputs<bfloat16>&, Tensor&);
template void attention_backward_of_queries<half>(const AttentionArguments<half>&, const BackwardInputs<half>&, Tensor&);

}  // namespace plumb::cuda_backend
