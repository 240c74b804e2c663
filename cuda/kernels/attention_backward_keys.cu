// The gradients of keys and values (attention_backward.h).
#include "cuda/kernels/attention_backward.h"

namespace plumb::cuda_backend {
namespace {

// dk and dv together, or one of them where both would not fit into registers.
enum class Sums { keys_and_values, values, keys };

template <typename T, int kWidth, Sums kSums>
__global__ void __launch_bounds__(128)
    attention_backward_keys(AttentionArguments<T> a, BackwardInputs<T> in, HeadRows<T> dk, HeadRows<T> dv, bool aligned_out) {
  using Tiling = BackwardTiling<kWidth>;
  constexpr int kKeys = Tiling::kHeld, kQueries = Tiling::kOther, kThreads = Tiling::kThreads, kTiles = Tiling::kHeldTiles;
  constexpr bool kNeedsKeys = kSums != Sums::values, kNeedsValues = kSums != Sums::keys;
  T* key_tile = dynamic_shared<T>();
  T *value_tile = key_tile + kKeys * kPitch<kWidth>, *query_tiles = value_tile + kKeys * kPitch<kWidth>,
    *dout_tiles = query_tiles + 2 * kQueries * kPitch<kWidth>;
  float *log_sums = reinterpret_cast<float*>(dout_tiles + 2 * kQueries * kPitch<kWidth>), *deltas = log_sums + 2 * kQueries;

  const int tiles = (a.keys + kKeys - 1) / kKeys;
  const int k0 = static_cast<int>(blockIdx.x % tiles) * kKeys;
  const int g = static_cast<int>(blockIdx.x / tiles % a.groups), b = static_cast<int>(blockIdx.x / tiles / a.groups);
  const IndexRange range = a.seeing_queries(k0, kKeys);
  const int heads = a.heads / a.groups, steps_of_head = range.begin < range.end ? (range.end - range.begin + kQueries - 1) / kQueries : 0,
            steps = heads * steps_of_head;
  const int warp_row = static_cast<int>(threadIdx.x) / 32 * kTiles * 16;
  const auto head_of = [&](int step) { return g * heads + step / steps_of_head; };
  const auto query_of = [&](int step) { return range.begin + step % steps_of_head * kQueries; };
  const auto start_queries = [&](int step) {
    const int h = head_of(step), q0 = query_of(step), buffer = step % 2 * kQueries;
    start_tile<kQueries, kWidth, kThreads>(query_tiles + buffer * kPitch<kWidth>, a.q.of(b, h), a.q.row, q0, a.queries, a.width,
                                           in.aligned);
    start_tile<kQueries, kWidth, kThreads>(dout_tiles + buffer * kPitch<kWidth>, in.dout.of(b, h), in.dout.row, q0, a.queries, a.values,
                                           in.aligned);
    if (threadIdx.x < kQueries) {
      const int query = q0 + static_cast<int>(threadIdx.x);
      const int64_t row = a.row_of(b, h, query);
      log_sums[buffer + threadIdx.x] = log_sum(in.lse, row, query < a.queries);
      deltas[buffer + threadIdx.x] = query < a.queries ? in.delta[row] : 0.0f;
    }
    copy_async_commit();
  };

  Products<kTiles, kNeedsKeys ? kWidth : 8> key_sums;
  Products<kTiles, kNeedsValues ? kWidth : 8> value_sums;
  clear(key_sums);
  clear(value_sums);
  start_tile<kKeys, kWidth, kThreads>(key_tile, a.k.of(b, g), a.k.row, k0, a.keys, a.width, in.aligned);
  start_tile<kKeys, kWidth, kThreads>(value_tile, a.v.of(b, g), a.v.row, k0, a.keys, a.values, in.aligned);
  copy_async_commit();  // also where no query sees them: what is not in a group is not waited for below
  if (steps > 0) start_queries(0);
  for (int step = 0; step < steps; ++step) {
    copy_async_wait<0>();
    __syncthreads();  // this step's queries are here, and nobody reads the last step's any more
    if (step + 1 < steps) start_queries(step + 1);
    const int h = head_of(step), q0 = query_of(step), buffer = step % 2 * kQueries;
    const T *query_tile = query_tiles + buffer * kPitch<kWidth>, *dout_tile = dout_tiles + buffer * kPitch<kWidth>;
    const auto lane = [&](int row, int column) { return a.row_of(b, h, opaque(q0) + column) * a.keys + opaque(k0) + warp_row + row; };
    const uint32_t kept = a.dropout.on ? kept_weights<kTiles, kQueries / 8>(a.dropout, lane) : 0;
    Products<kTiles, kQueries> p, dp;
    clear(p);
    multiply_rows<kWidth>(p, key_tile + warp_row * kPitch<kWidth>, query_tile);
    finish_scores<true>(p, a, b, h, q0, k0 + warp_row, a.sees_all(q0, kQueries, k0, kKeys));
    clear(dp);
    if constexpr (kNeedsKeys) multiply_rows<kWidth>(dp, value_tile + warp_row * kPitch<kWidth>, dout_tile);
    differentiate_scores(
        p, dp, a.dropout, kept, [&](int, int column) { return log_sums[buffer + column]; },
        [&](int, int column) { return deltas[buffer + column]; });
    if constexpr (kNeedsValues) multiply_weights<kWidth>(value_sums, p, dout_tile);
    if constexpr (kNeedsKeys) multiply_weights<kWidth>(key_sums, dp, query_tile);
  }
  copy_async_wait<0>();
  __syncthreads();  // every warp's rows of the tiles are free for its results
  if constexpr (kNeedsKeys)
    store_rows<kWidth>(key_sums, key_tile + warp_row * kPitch<kWidth>, dk.of(b, g), dk.row, k0 + warp_row, a.keys, a.width, aligned_out,
                       [&](int, int) { return a.scale; });
  if constexpr (kNeedsValues)
    store_rows<kWidth>(value_sums, value_tile + warp_row * kPitch<kWidth>, dv.of(b, g), dv.row, k0 + warp_row, a.keys, a.values,
                       aligned_out, [](int, int) { return 1.0f; });
}

}  // namespace

template <typename T>
void attention_backward_of_keys(const AttentionArguments<T>& a, const BackwardInputs<T>& in, Tensor& dk, Tensor& dv) {
  const HeadRows<T> k(dk), v(dv);
  const bool aligned_out = k.aligned(a.width) && v.aligned(a.values);
  visit_padded_width(std::max(a.width, a.values), [&]<int kWidth>() {
    const Grid grid = backward_grid<kWidth>(int64_t{a.batch} * a.groups, a.keys);
    if constexpr (kWidth <= 128) {
      launch(attention_backward_keys<T, kWidth, Sums::keys_and_values>, grid, a, in, k, v, aligned_out);
    } else {
      launch(attention_backward_keys<T, kWidth, Sums::values>, grid, a, in, k, v, aligned_out);
      launch(attention_backward_keys<T, kWidth, Sums::keys>, grid, a, in, k, v, aligned_out);
    }
  });
}

template void attention_backward_of_keys<bfloat16>(const AttentionArguments<bfloat16>&, const BackwardInputs<bfloat16>&, Tensor&, Tensor&);
template void attention_backward_of_keys<half>(const AttentionArguments<half>&, const BackwardInputs<half>&, Tensor&, Tensor&);

}  // namespace plumb::cuda_backend
