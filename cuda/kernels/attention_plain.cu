// Attention without tensor cores: f32 and f64, and 16-bit types wider than 256. The same online softmax on tiles of 64 queries and 64 keys
// (FlashAttention), sums in f32 (f64 for f64), any widths: factors pass through shared memory 32 columns at a time, and a block computes 64
// columns of the result, so that wider ones recompute the scores for each 64 columns.
//
// A block has 16 × 16 threads; thread (x, y) has rows 4y … 4y + 3 and columns x, x + 16, x + 32, x + 48 of a 64 × 64 product: 16
// multiply-adds for 8 loads from shared memory, whose rows have an odd pitch, so that neighbours hit different banks.
// Operations: 4·T·S·D forward, 14·T·S·D backward a head (half if causal) on the ordinary units: bound by those.
// The backward pass is two kernels that own what they write (attention_backward.h): nothing is added atomically.
#include <cmath>

#include "cuda/kernels/attention.h"
#include "cuda/runtime/launch.h"
#include "cuda/runtime/warp.h"
#include "ops/special_functions.h"

namespace plumb::cuda_backend {
namespace {

constexpr int kTile = 64, kDepth = 32, kPlainThreads = 256;
constexpr int kFactorPitch = kDepth + 1, kWeightPitch = kTile + 1;

// Shared memory: two factors [64, 32] and one matrix of weights [64, 64].
template <typename A>
struct PlainTiles {
  A *left, *right, *weights;
  __device__ explicit PlainTiles(A* shared)
      : left(shared), right(shared + kTile * kFactorPitch), weights(shared + 2 * kTile * kFactorPitch) {}
  static constexpr size_t bytes(int matrices) { return sizeof(A) * (2 * kTile * kFactorPitch + matrices * kTile * kWeightPitch); }
};

template <typename A>
using Micro = A[4][4];

__device__ inline int thread_row(int i) { return static_cast<int>(threadIdx.x) / 16 * 4 + i; }
__device__ inline int thread_column(int j) { return static_cast<int>(threadIdx.x) % 16 + 16 * j; }

template <typename A>
__device__ void clear(Micro<A>& c) {
#pragma unroll
  for (int i = 0; i < 4; ++i)
#pragma unroll
    for (int j = 0; j < 4; ++j) c[i][j] = 0;
}

// Rows [first, first + 64) × columns [column, column + 32) of a matrix [rows, width] as A, zeros outside.
template <typename T, typename A>
__device__ void load_factor(A* to, const T* matrix, int64_t stride, int first, int rows, int column, int width) {
  for (int n = threadIdx.x; n < kTile * kDepth; n += kPlainThreads) {
    const int r = n / kDepth, c = n % kDepth;
    const bool inside = first + r < rows && column + c < width;
    to[r * kFactorPitch + c] = inside ? static_cast<A>(matrix[(first + r) * stride + column + c]) : A(0);
  }
}

// c += (64 rows of a) · (64 rows of b)ᵀ over all `width` columns.
template <typename T, typename A>
__device__ void multiply_rows(Micro<A>& c, const PlainTiles<A>& tiles, const T* a, int64_t a_stride, int a_first, int a_rows, const T* b,
                              int64_t b_stride, int b_first, int b_rows, int width) {
  for (int column = 0; column < width; column += kDepth) {
    __syncthreads();
    load_factor(tiles.left, a, a_stride, a_first, a_rows, column, width);
    load_factor(tiles.right, b, b_stride, b_first, b_rows, column, width);
    __syncthreads();
    for (int k = 0; k < kDepth; ++k) {
      A left[4], right[4];
#pragma unroll
      for (int i = 0; i < 4; ++i)
        left[i] = tiles.left[thread_row(i) * kFactorPitch + k], right[i] = tiles.right[thread_column(i) * kFactorPitch + k];
#pragma unroll
      for (int i = 0; i < 4; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j) c[i][j] = std::fma(left[i], right[j], c[i][j]);
    }
  }
}

// c += weights [64, 64] (its transpose if `transposed`) · columns [column, column + 64) of 64 rows of b.
template <bool kTransposed, typename T, typename A>
__device__ void multiply_weights(Micro<A>& c, const PlainTiles<A>& tiles, const A* weights, const T* b, int64_t b_stride, int b_first,
                                 int b_rows, int column, int width) {
#pragma unroll
  for (int part = 0; part < 2; ++part) {
    __syncthreads();
    load_factor(tiles.right, b, b_stride, b_first, b_rows, column + part * kDepth, width);
    __syncthreads();
    for (int k = 0; k < kTile; ++k) {
      A left[4];
#pragma unroll
      for (int i = 0; i < 4; ++i)
        left[i] = kTransposed ? weights[k * kWeightPitch + thread_row(i)] : weights[thread_row(i) * kWeightPitch + k];
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const A right = tiles.right[k * kFactorPitch + thread_column(j)];
#pragma unroll
        for (int i = 0; i < 4; ++i) c[i][2 * part + j] = std::fma(left[i], right, c[i][2 * part + j]);
      }
    }
  }
}

// The score's place in the whole: scaled, masked, −inf where the query may not see the key.
template <typename T, typename A>
__device__ A finished_score(const AttentionArguments<T>& a, A score, int b, int h, int query, int key) {
  if (query >= a.queries || !a.sees(query, key)) return -std::numeric_limits<A>::infinity();
  score *= a.scale;
  return a.mask ? score + a.masked(b, h, query, key) : score;
}

// The maximum or sum over the 16 threads of a row, in a fixed order.
template <typename A>
__device__ A row_maximum(A x) {
#pragma unroll
  for (int distance = 8; distance > 0; distance /= 2) {
    const A other = shuffle_xor(x, distance);
    x = other > x ? other : x;
  }
  return x;
}
template <typename A>
__device__ A row_sum(A x) {
#pragma unroll
  for (int distance = 8; distance > 0; distance /= 2) x += shuffle_xor(x, distance);
  return x;
}

// Columns [64 z, 64 z + 64) of out for one tile of queries, z = blockIdx.y.
template <typename T, typename A>
__global__ void __launch_bounds__(kPlainThreads) attention_plain_forward(AttentionArguments<T> a, HeadRows<T> out, A* lse) {
  const PlainTiles<A> tiles(dynamic_shared<A>());
  const int count = (a.queries + kTile - 1) / kTile, q0 = (count - 1 - static_cast<int>(blockIdx.x % count)) * kTile;
  const int h = static_cast<int>(blockIdx.x / count % a.heads), b = static_cast<int>(blockIdx.x / count / a.heads), g = a.group_of(h);
  const int column = static_cast<int>(blockIdx.y) * kTile;
  const IndexRange range = a.visible_keys(q0, kTile);

  A most[4], total[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) most[i] = -std::numeric_limits<A>::infinity(), total[i] = 0;
  Micro<A> sums;
  clear<A>(sums);
  for (int k0 = range.begin; k0 < range.end; k0 += kTile) {
    Micro<A> s;
    clear<A>(s);
    multiply_rows<T, A>(s, tiles, a.q.of(b, h), a.q.row, q0, a.queries, a.k.of(b, g), a.k.row, k0, a.keys, a.width);
    __syncthreads();  // nobody reads the last weights any more
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int query = q0 + thread_row(i);
      A high = most[i];
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        s[i][j] = finished_score(a, s[i][j], b, h, query, k0 + thread_column(j));
        high = s[i][j] > high ? s[i][j] : high;
      }
      high = row_maximum(high);
      const A shift = high == -std::numeric_limits<A>::infinity() ? A(0) : high, old = special::exp(most[i] - shift);
      A sum = 0;
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        A weight = special::exp(s[i][j] - shift);
        sum += weight;
        if (a.dropout.on) weight *= a.dropout.template factor<A>(a.row_of(b, h, query) * a.keys + k0 + thread_column(j));
        tiles.weights[thread_row(i) * kWeightPitch + thread_column(j)] = weight;
      }
      total[i] = total[i] * old + row_sum(sum);
      most[i] = high;
#pragma unroll
      for (int j = 0; j < 4; ++j) sums[i][j] *= old;
    }
    multiply_weights<false, T, A>(sums, tiles, tiles.weights, a.v.of(b, g), a.v.row, k0, a.keys, column, a.values);
  }

#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int query = q0 + thread_row(i);
    if (query >= a.queries) continue;
    const A inverse = total[i] == 0 ? A(0) : 1 / total[i];
#pragma unroll
    for (int j = 0; j < 4; ++j)
      if (column + thread_column(j) < a.values)
        out.of(b, h)[query * out.row + column + thread_column(j)] = static_cast<T>(static_cast<compute_t<T>>(sums[i][j] * inverse));
    if (column == 0 && thread_column(0) == 0)
      lse[a.row_of(b, h, query)] = total[i] == 0 ? -std::numeric_limits<A>::infinity() : most[i] + special::log(total[i]);  // NaN stays
  }
}

// The tile's weights (after dropout) and score gradients p ⊙ (dp − δ) · scale, into shared memory.
template <typename T, typename A>
__device__ void weights_and_gradients(const AttentionArguments<T>& a, const PlainTiles<A>& tiles, const HeadRows<const T>& dout,
                                      const A* lse, const A* delta, int b, int h, int q0, int k0, A* gradients) {
  const int g = a.group_of(h);
  Micro<A> s, dp;
  clear<A>(s);
  clear<A>(dp);
  multiply_rows<T, A>(s, tiles, a.q.of(b, h), a.q.row, q0, a.queries, a.k.of(b, g), a.k.row, k0, a.keys, a.width);
  multiply_rows<T, A>(dp, tiles, dout.of(b, h), dout.row, q0, a.queries, a.v.of(b, g), a.v.row, k0, a.keys, a.values);
  __syncthreads();  // nobody reads the last weights any more
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int query = q0 + thread_row(i);
    const int64_t row = a.row_of(b, h, query);
    const A log_sum = query < a.queries ? lse[row] : -std::numeric_limits<A>::infinity(), shift = query < a.queries ? delta[row] : A(0);
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const A score = finished_score(a, s[i][j], b, h, query, k0 + thread_column(j));
      const bool seen = score != -std::numeric_limits<A>::infinity() && log_sum != -std::numeric_limits<A>::infinity();
      const A weight = seen ? special::exp(score - log_sum) : A(0);
      const A factor = a.dropout.on ? a.dropout.template factor<A>(row * a.keys + k0 + thread_column(j)) : A(1);
      const int at = thread_row(i) * kWeightPitch + thread_column(j);
      gradients[at] = seen ? weight * (dp[i][j] * factor - shift) * a.scale : A(0);  // a row's NaN is not that of keys it does not see
      tiles.weights[at] = weight * factor;
    }
  }
}

template <typename T, typename A>
__device__ void store_columns(const Micro<A>& c, T* matrix, int64_t stride, int first, int rows, int column, int width) {
#pragma unroll
  for (int i = 0; i < 4; ++i)
#pragma unroll
    for (int j = 0; j < 4; ++j)
      if (first + thread_row(i) < rows && column + thread_column(j) < width)
        matrix[(first + thread_row(i)) * stride + column + thread_column(j)] = static_cast<T>(static_cast<compute_t<T>>(c[i][j]));
}

// Columns [64 z, 64 z + 64) of dk and dv for one tile of keys: the sum over the group's heads and the queries that see them, in order.
template <typename T, typename A>
__global__ void __launch_bounds__(kPlainThreads)
    attention_plain_backward_keys(AttentionArguments<T> a, HeadRows<const T> dout, const A* lse, const A* delta, HeadRows<T> dk,
                                  HeadRows<T> dv) {
  const PlainTiles<A> tiles(dynamic_shared<A>());
  A* gradients = tiles.weights + kTile * kWeightPitch;
  const int count = (a.keys + kTile - 1) / kTile, k0 = static_cast<int>(blockIdx.x % count) * kTile;
  const int g = static_cast<int>(blockIdx.x / count % a.groups), b = static_cast<int>(blockIdx.x / count / a.groups);
  const int column = static_cast<int>(blockIdx.y) * kTile, heads = a.heads / a.groups;
  const IndexRange range = a.seeing_queries(k0, kTile);
  Micro<A> key_sums, value_sums;
  clear<A>(key_sums);
  clear<A>(value_sums);
  for (int h = g * heads; h < (g + 1) * heads; ++h)
    for (int q0 = range.begin; q0 < range.end; q0 += kTile) {
      weights_and_gradients(a, tiles, dout, lse, delta, b, h, q0, k0, gradients);
      multiply_weights<true, T, A>(value_sums, tiles, tiles.weights, dout.of(b, h), dout.row, q0, a.queries, column, a.values);
      multiply_weights<true, T, A>(key_sums, tiles, gradients, a.q.of(b, h), a.q.row, q0, a.queries, column, a.width);
    }
  store_columns<T, A>(key_sums, dk.of(b, g), dk.row, k0, a.keys, column, a.width);
  store_columns<T, A>(value_sums, dv.of(b, g), dv.row, k0, a.keys, column, a.values);
}

// Columns [64 z, 64 z + 64) of dq for one tile of queries.
template <typename T, typename A>
__global__ void __launch_bounds__(kPlainThreads)
    attention_plain_backward_queries(AttentionArguments<T> a, HeadRows<const T> dout, const A* lse, const A* delta, HeadRows<T> dq) {
  const PlainTiles<A> tiles(dynamic_shared<A>());
  A* gradients = tiles.weights + kTile * kWeightPitch;
  const int count = (a.queries + kTile - 1) / kTile, q0 = (count - 1 - static_cast<int>(blockIdx.x % count)) * kTile;
  const int h = static_cast<int>(blockIdx.x / count % a.heads), b = static_cast<int>(blockIdx.x / count / a.heads), g = a.group_of(h);
  const int column = static_cast<int>(blockIdx.y) * kTile;
  const IndexRange range = a.visible_keys(q0, kTile);
  Micro<A> sums;
  clear<A>(sums);
  for (int k0 = range.begin; k0 < range.end; k0 += kTile) {
    weights_and_gradients(a, tiles, dout, lse, delta, b, h, q0, k0, gradients);
    multiply_weights<false, T, A>(sums, tiles, gradients, a.k.of(b, g), a.k.row, k0, a.keys, column, a.width);
  }
  store_columns<T, A>(sums, dq.of(b, h), dq.row, q0, a.queries, column, a.width);
}

// One block for each tile of `rows` rows and 64 columns.
template <typename A>
Grid plain_grid(int64_t heads, int rows, int columns, int matrices) {
  const auto tiles = static_cast<unsigned>(heads * ((rows + kTile - 1) / kTile)),
             pieces = static_cast<unsigned>((columns + kTile - 1) / kTile);
  return {dim3(tiles, pieces), dim3(kPlainThreads), PlainTiles<A>::bytes(matrices)};
}

}  // namespace

template <typename T>
void attention_plain(const AttentionArguments<T>& a, Tensor& out, Tensor& lse) {
  using A = compute_t<T>;
  launch(attention_plain_forward<T, A>, plain_grid<A>(int64_t{a.batch} * a.heads, a.queries, std::max(1, a.values), 1), a, HeadRows<T>(out),
         lse.data<A>());
}

template <typename T>
void attention_backward_plain(const AttentionArguments<T>& a, const Tensor& dout, const compute_t<T>* lse, const compute_t<T>* delta,
                              Tensor& dq, Tensor& dk, Tensor& dv) {
  using A = compute_t<T>;
  const HeadRows<const T> dy(dout);
  launch(attention_plain_backward_keys<T, A>, plain_grid<A>(int64_t{a.batch} * a.groups, a.keys, std::max(a.width, a.values), 2), a, dy,
         lse, delta, HeadRows<T>(dk), HeadRows<T>(dv));
  launch(attention_plain_backward_queries<T, A>, plain_grid<A>(int64_t{a.batch} * a.heads, a.queries, a.width, 2), a, dy, lse, delta,
         HeadRows<T>(dq));
}

template void attention_plain<double>(const AttentionArguments<double>&, Tensor&, Tensor&);
template void attention_plain<float>(const AttentionArguments<float>&, Tensor&, Tensor&);
template void attention_plain<bfloat16>(const AttentionArguments<bfloat16>&, Tensor&, Tensor&);
template void attention_plain<half>(const AttentionArguments<half>&, Tensor&, Tensor&);
template void attention_backward_plain<double>(const AttentionArguments<double>&, const Tensor&, const double*, const double*, Tensor&,
                                               Tensor&, Tensor&);
template void attention_backward_plain<float>(const AttentionArguments<float>&, const Tensor&, const float*, const float*, Tensor&, Tensor&,
                                              Tensor&);
template void attention_backward_plain<bfloat16>(const AttentionArguments<bfloat16>&, const Tensor&, const float*, const float*, Tensor&,
                                                 Tensor&, Tensor&);
template void attention_backward_plain<half>(const AttentionArguments<half>&, const Tensor&, const float*, const float*, Tensor&, Tensor&,
                                             Tensor&);

}  // namespace plumb::cuda_backend
