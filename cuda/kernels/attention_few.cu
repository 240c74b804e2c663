// Attention of a few queries, as when a text is written token by token: a matrix product would leave tensor cores empty, and there are
// too few rows to fill the GPU. A block takes one query and a piece of the keys; its warps take keys in turn, lanes the columns; the
// pieces' running softmaxes are joined by a second kernel. Bytes: keys and values once for each query head: 2 · S · D elements. About 25
// instructions a key and warp for 256 bytes (64 columns, 16 bits): 40 bytes a cycle and multiprocessor, more than twice its share of the
// memory's bandwidth.
#include "cuda/kernels/attention.h"
#include "cuda/runtime/launch.h"
#include "cuda/runtime/memory.h"
#include "cuda/runtime/warp.h"
#include "ops/special_functions.h"

namespace plumb::cuda_backend {
namespace {

constexpr int kWarps = 8, kFewThreads = 32 * kWarps, kAtOnce = 4;
constexpr int kKeysEach = 512, kMostPieces = 64;

/// What a piece of the keys leaves of a row: Σ weight · value, the largest score, Σ weight (both in units of exp).
struct Piece {
  float *sums, *most, *total;  ///< [rows, pieces, values], [rows, pieces]
};

// Columns lane, lane + 32, … of a row, zeros beyond `width`.
template <int kSlots, typename T>
__device__ void load_row(float (&to)[kSlots], const T* row, int width) {
#pragma unroll
  for (int i = 0; i < kSlots; ++i) {
    const int c = lane_index() + 32 * i;
    to[i] = c < width ? static_cast<float>(row[c]) : 0.0f;
  }
}

// blockIdx.x: the row (b · H + h) · queries + query; blockIdx.y: the piece. With one piece the result itself is written.
template <typename T, int kSlots>
__global__ void __launch_bounds__(kFewThreads)
    attention_few_kernel(AttentionArguments<T> a, int keys_each, Piece piece, HeadRows<T> out, float* lse) {
  constexpr float kNever = -std::numeric_limits<float>::infinity();
  const int query = static_cast<int>(blockIdx.x % a.queries), h = static_cast<int>(blockIdx.x / a.queries % a.heads),
            b = static_cast<int>(blockIdx.x / a.queries / a.heads), g = a.group_of(h);
  const IndexRange range = a.visible_keys(query, 1);
  const int begin = range.begin + static_cast<int>(blockIdx.y) * keys_each,
            end = range.end - begin < keys_each ? range.end : begin + keys_each;
  const T *keys = a.k.of(b, g), *values = a.v.of(b, g);

  float q[kSlots], sums[kSlots] = {}, most = kNever, total = 0;
  load_row(q, a.q.of(b, h) + query * a.q.row, a.width);
  for (int k0 = begin + warp_index() * kAtOnce; k0 < end; k0 += kWarps * kAtOnce) {
    float score[kAtOnce], high = most;
#pragma unroll
    for (int u = 0; u < kAtOnce; ++u) {
      float k[kSlots];
      load_row(k, keys + (k0 + u < end ? k0 + u : k0) * a.k.row, a.width);
      score[u] = 0;
#pragma unroll
      for (int i = 0; i < kSlots; ++i) score[u] = std::fma(q[i], k[i], score[u]);
    }
#pragma unroll
    for (int u = 0; u < kAtOnce; ++u) {
      score[u] = warp_sum(score[u]) * a.scale;
      if (k0 + u >= end)
        score[u] = kNever;
      else if (a.mask)
        score[u] += a.masked(b, h, query, k0 + u);
      high = fmaxf(high, score[u]);
    }
    const float shift = high == kNever ? 0.0f : high, old = special::exp(most - shift);
    most = high;
    total *= old;
#pragma unroll
    for (int i = 0; i < kSlots; ++i) sums[i] *= old;
#pragma unroll
    for (int u = 0; u < kAtOnce; ++u) {
      const float weight = special::exp(score[u] - shift);
      float v[kSlots];
      load_row(v, values + (k0 + u < end ? k0 + u : k0) * a.v.row, a.values);
      total += weight;
#pragma unroll
      for (int i = 0; i < kSlots; ++i) sums[i] = std::fma(weight, v[i], sums[i]);
    }
  }

  __shared__ float most_of[kWarps], total_of[kWarps], sums_of[kWarps][32 * kSlots];
  if (lane_index() == 0) most_of[warp_index()] = most, total_of[warp_index()] = total;
#pragma unroll
  for (int i = 0; i < kSlots; ++i) sums_of[warp_index()][lane_index() + 32 * i] = sums[i];
  __syncthreads();
  float high = kNever, factor[kWarps];
  for (int w = 0; w < kWarps; ++w) high = fmaxf(high, most_of[w]);
  total = 0;
#pragma unroll
  for (int w = 0; w < kWarps; ++w) {
    factor[w] = special::exp(most_of[w] - (high == kNever ? 0.0f : high));
    total += total_of[w] * factor[w];
  }
  const int64_t at = static_cast<int64_t>(blockIdx.x) * gridDim.y + blockIdx.y;
  for (int c = threadIdx.x; c < a.values; c += kFewThreads) {
    float sum = 0;
#pragma unroll
    for (int w = 0; w < kWarps; ++w) sum = std::fma(sums_of[w][c], factor[w], sum);
    if (gridDim.y > 1)
      piece.sums[at * a.values + c] = sum;
    else
      out.of(b, h)[query * out.row + c] = static_cast<T>(total == 0 ? 0.0f : sum / total);
  }
  if (threadIdx.x != 0) return;
  if (gridDim.y > 1)
    piece.most[at] = high, piece.total[at] = total;
  else
    lse[blockIdx.x] = total == 0 ? kNever : high + special::log(total);  // NaN stays
}

// One block a row: the pieces brought to one maximum and added up, in order.
template <typename T>
__global__ void __launch_bounds__(kFewThreads)
    attention_join_pieces(AttentionArguments<T> a, int pieces, Piece piece, HeadRows<T> out, float* lse) {
  constexpr float kNever = -std::numeric_limits<float>::infinity();
  const int query = static_cast<int>(blockIdx.x % a.queries), h = static_cast<int>(blockIdx.x / a.queries % a.heads),
            b = static_cast<int>(blockIdx.x / a.queries / a.heads);
  const int64_t first = static_cast<int64_t>(blockIdx.x) * pieces;
  float high = kNever, total = 0;
  for (int p = 0; p < pieces; ++p) high = fmaxf(high, piece.most[first + p]);
  const float shift = high == kNever ? 0.0f : high;
  for (int p = 0; p < pieces; ++p) total += piece.total[first + p] * special::exp(piece.most[first + p] - shift);
  for (int c = threadIdx.x; c < a.values; c += kFewThreads) {
    float sum = 0;
    for (int p = 0; p < pieces; ++p)
      sum = std::fma(piece.sums[(first + p) * a.values + c], special::exp(piece.most[first + p] - shift), sum);
    out.of(b, h)[query * out.row + c] = static_cast<T>(total == 0 ? 0.0f : sum / total);
  }
  if (threadIdx.x == 0) lse[blockIdx.x] = total == 0 ? kNever : high + special::log(total);  // NaN stays
}

}  // namespace

template <typename T>
void attention_of_few(const AttentionArguments<T>& a, Tensor& out, Tensor& lse) {
  const int pieces = std::clamp((a.keys + kKeysEach - 1) / kKeysEach, 1, kMostPieces), each = (a.keys + pieces - 1) / pieces;
  const int64_t rows = lse.numel(), numbers = pieces > 1 ? rows * pieces : 0;
  Scratch<float> sums(numbers * a.values), most(numbers), total(numbers);
  const Piece piece{sums.data(), most.data(), total.data()};
  const Grid grid{dim3(static_cast<unsigned>(rows), static_cast<unsigned>(pieces)), dim3(kFewThreads)};
  const HeadRows<T> to(out);
  if (std::max(a.width, a.values) <= 128)
    launch(attention_few_kernel<T, 4>, grid, a, each, piece, to, lse.data<float>());
  else
    launch(attention_few_kernel<T, 8>, grid, a, each, piece, to, lse.data<float>());
  if (pieces > 1)
    launch(attention_join_pieces<T>, {dim3(static_cast<unsigned>(rows)), dim3(kFewThreads)}, a, pieces, piece, to, lse.data<float>());
}

template void attention_of_few<float>(const AttentionArguments<float>&, Tensor&, Tensor&);
template void attention_of_few<bfloat16>(const AttentionArguments<bfloat16>&, Tensor&, Tensor&);
template void attention_of_few<half>(const AttentionArguments<half>&, Tensor&, Tensor&);

}  // namespace plumb::cuda_backend
