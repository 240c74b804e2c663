// Attention on tensor cores, backward, in two kernels that each recompute the weights p = 2^(s − lse) of a tile and own what they write, so
// that nothing is added atomically and every run gives the same bits:
//   dk, dv: a block holds a tile of keys and values and goes through the queries (of all heads of its group) that see them, transposed:
//           sᵀ = k qᵀ,  dpᵀ = v dyᵀ,  dv += pᵀ dy,  dk += dsᵀ q   with ds = p ⊙ (dp − δ)
//   dq:     a block holds a tile of q and dy and goes through the keys:  s = q kᵀ,  dp = dy vᵀ,  dq += ds k
// Weights go from one product into the next within registers, as in the forward pass.
//
// Operations: 14·T·S·D a head (half if causal), 10 of them what one pass with atomic sums of dq would need. The alternative without
// atomics, one dq for each tile of keys, would write and read 8 bytes an element and tile: at 1 024 × 64 more time than the 4·T·S·D. Bytes:
// each kernel reads its tiles once and the other side once a tile, from L2. Two tiles of the other side are under way at a time.
#pragma once
#include <type_traits>

#include "cuda/kernels/attention_tile.h"

namespace plumb::cuda_backend {

template <int kWidth>
struct BackwardTiling {
  static constexpr int kWarps = 4, kThreads = 32 * kWarps;
  static constexpr int kHeldTiles = kWidth <= 64 ? 2 : 1;  // of 16 rows a warp; the sums of dk and dv are kHeldTiles · kWidth registers
  static constexpr int kHeld = kWarps * kHeldTiles * 16;   // rows that a block holds
  static constexpr int kOther = 32;                        // rows of the other side at a time
  static constexpr size_t kSharedBytes = sizeof(uint16_t) * kPitch<kWidth> * (2 * kHeld + 4 * kOther) + sizeof(float) * 4 * kOther;
};

/// A row's log-sum-exp in units of log 2, so that p = 2^(s − it); +inf, and so p = 0, where there is no row or it sees nothing.
__device__ __forceinline__ float log_sum(const float* lse, int64_t row, bool inside) {
  const float value = inside ? lse[row] : -std::numeric_limits<float>::infinity();
  return value == -std::numeric_limits<float>::infinity() ? std::numeric_limits<float>::infinity() : value * kLog2E;
}

/// Which of a tile's weights dropout keeps, a bit for each that this lane holds; lane(row, column) is a weight's number. Worked out before
/// the tile's products, when registers are free.
template <int kRowTiles, int kTiles, typename Lane>
__device__ __forceinline__ uint32_t kept_weights(const WeightDropout& dropout, const Lane& lane) {
  static_assert(kRowTiles * kTiles * 4 <= 32);
  const int g = lane_index() / 4, t = 2 * (lane_index() % 4);
  uint32_t kept = 0;
#pragma unroll
  for (int n = 0; n < kRowTiles * kTiles * 4; ++n) {
    const int r = n / (4 * kTiles), tile = n / 4 % kTiles, i = n % 4;
    if (dropout.keeps(lane(r * 16 + g + i / 2 * 8, tile * 8 + t + i % 2))) kept |= 1u << n;
    sync_warp();
  }
  return kept;
}

/// p ← the weights 2^(p − log_sum) from finished scores, times dropout's factors; dp ← p ⊙ (dp · factor − δ). log_sum(slot, column) and
/// delta(slot, column) belong to an element; slot 2r + 1 is the lane's row in the lower half of row tile r.
template <int kRowTiles, int kTiles, typename LogSum, typename Delta>
__device__ __forceinline__ void differentiate_scores(FragmentC (&p)[kRowTiles][kTiles], FragmentC (&dp)[kRowTiles][kTiles],
                                                     const WeightDropout& dropout, uint32_t kept, const LogSum& log_sum,
                                                     const Delta& delta) {
  const float keep = static_cast<float>(dropout.keep);
  const int t = 2 * (lane_index() % 4);
  const auto differentiate = [&](auto dropped) {
#pragma unroll
    for (int n = 0; n < kRowTiles * kTiles * 4; ++n) {
      const int r = n / (4 * kTiles), tile = n / 4 % kTiles, i = n % 4, slot = 2 * r + i / 2, column = tile * 8 + t + i % 2;
      float &weight = p[r][tile].value[i], &gradient = dp[r][tile].value[i];
      const bool seen = weight != -std::numeric_limits<float>::infinity();  // a row's NaN is not that of keys it does not see
      weight = seen ? fast_exp2(weight - log_sum(slot, column)) : 0.0f;
      if constexpr (dropped) gradient *= kept >> n & 1u ? keep : 0.0f;
      gradient = seen ? weight * (gradient - delta(slot, column)) : 0.0f;
      if constexpr (dropped) weight *= kept >> n & 1u ? keep : 0.0f;
    }
  };
  if (dropout.on)
    differentiate(std::true_type());
  else
    differentiate(std::false_type());
}

/// What the two kernels read beside the forward pass's arguments, and how many blocks of them there are.
template <typename T>
struct BackwardInputs {
  HeadRows<const T> dout;
  const float *lse, *delta;
  bool aligned;  ///< all tiles can be copied 16 bytes at a time
};
template <int kWidth>
Grid backward_grid(int64_t heads, int64_t rows) {
  using Tiling = BackwardTiling<kWidth>;
  return {dim3(static_cast<unsigned>(heads * ((rows + Tiling::kHeld - 1) / Tiling::kHeld))), dim3(Tiling::kThreads), Tiling::kSharedBytes};
}

template <typename T>
void attention_backward_of_keys(const AttentionArguments<T>& arguments, const BackwardInputs<T>& inputs, Tensor& dk, Tensor& dv);
template <typename T>
void attention_backward_of_queries(const AttentionArguments<T>& arguments, const BackwardInputs<T>& inputs, Tensor& dq);

}  // namespace plumb::cuda_backend
