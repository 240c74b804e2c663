// Attention on the CPU, a tile of queries against a tile of keys at a time (FlashAttention's online softmax), so that scores stay in L2.
// Forward: tasks are (batch, head, query tile). Backward: tasks are (batch, group), each of which owns its dk and dv.
// Operations: 4·T·S·D forward, 10·T·S·D backward (half of both if causal). Bound: the matrix product.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "engine/core/generator.h"
#include "engine/core/parallel.h"
#include "ops/cpu/gemm/gemm.h"
#include "ops/cpu/rows.h"
#include "ops/cpu/wide_loop.h"
#include "ops/dropout_mask.h"
#include "ops/kernels/attention.h"
#include "ops/special_functions.h"

namespace plumb::cpu_kernels {
namespace {

constexpr int64_t kQueries = 64, kKeys = 256;

// One head's matrix [rows, width] inside a [B, H, T, D] tensor.
template <typename T>
struct Rows {
  T* data;
  int64_t stride;
  T* row(int64_t i) const { return data + i * stride; }
};
template <typename T>
Rows<T> head_rows(const Tensor& t, int64_t b, int64_t h) {
  return {static_cast<T*>(t.raw_data()) + b * t.strides()[0] + h * t.strides()[1], t.strides()[2]};
}

// Scores, weights and sums are in A: float, or double for f64. Products take their operands in Operand<T>: bf16 as it is, with weights
// rounded to it; f16 converted to A tile by tile.
template <typename T>
using Operand = std::conditional_t<std::is_same_v<T, bfloat16>, T, compute_t<T>>;

template <typename A>
class Tile {
 public:
  explicit Tile(int64_t elements) : buffer_(static_cast<size_t>(elements)) {}
  template <typename T>
  gemm::MatrixView<A> load(Rows<T> rows, int64_t first, int64_t count, int64_t width) {
    if constexpr (std::is_same_v<std::remove_const_t<T>, A>) return {rows.row(first), rows.stride, 1};
    for (int64_t i = 0; i < count; ++i)
      for (int64_t c = 0; c < width; ++c)
        buffer_[static_cast<size_t>(i * width + c)] =
            static_cast<A>(static_cast<compute_t<std::remove_const_t<T>>>(rows.row(first + i)[c]));
    return {buffer_.data(), width, 1};
  }
  A* data() { return buffer_.data(); }

 private:
  std::vector<A> buffer_;
};

// A tile of weights as an operand; `buffer` has room for it if it is to be converted.
template <typename O, typename A>
gemm::MatrixView<O> as_operand(const A* x, int64_t rows, int64_t columns, std::vector<O>& buffer) {
  if constexpr (std::is_same_v<O, A>) return {x, columns, 1};
  else {
    for (int64_t i = 0; i < rows * columns; ++i) buffer[static_cast<size_t>(i)] = static_cast<O>(x[i]);
    return {buffer.data(), columns, 1};
  }
}

template <typename A>
gemm::MatrixView<A> transposed(gemm::MatrixView<A> m) { return {m.data, m.column, m.row}; }

// The keys that queries [q0, q0 + n) can see at all.
struct Span {
  int64_t begin, end;
};
Span visible_keys(const AttentionPlan& plan, int64_t q0, int64_t n, int64_t queries, int64_t keys) {
  if (!plan.causal) return {0, keys};
  int64_t shift = keys - queries;
  int64_t begin = plan.window > 0 ? std::max<int64_t>(0, q0 + shift - plan.window + 1) : 0;
  return {std::min(begin, keys), std::clamp<int64_t>(q0 + n + shift, 0, keys)};
}

// Keys [begin, end) of a tile of m, of which one query sees these and no others.
Span seen_of_tile(const AttentionPlan& plan, int64_t query, int64_t k0, int64_t m, int64_t queries, int64_t keys) {
  if (!plan.causal) return {0, m};
  int64_t last = query + keys - queries, end = std::clamp<int64_t>(last + 1 - k0, 0, m);
  return {plan.window > 0 ? std::clamp<int64_t>(last - plan.window + 1 - k0, 0, end) : 0, end};
}

// Scores of one query and the keys of a tile that it sees: scale and mask.
template <typename A>
void finish_scores(const AttentionPlan& plan, A* row, Span seen, int64_t b, int64_t h, int64_t query, int64_t k0, const Tensor& mask) {
  A scale = static_cast<A>(plan.scale);
  for (int64_t j = seen.begin; j < seen.end; ++j) row[j] *= scale;
  if (!mask.defined()) return;
  const Strides& st = mask.strides();
  const A* add = static_cast<const A*>(mask.raw_data()) + b * st[0] + h * st[1] + query * st[2] + k0 * st[3];
  for (int64_t j = seen.begin; j < seen.end; ++j) row[j] += add[j * st[3]];
}

// Zero where a query sees nothing.
template <typename A>
void clear_unseen(A* row, int64_t m, Span seen) {
  std::fill_n(row, seen.begin, A(0));
  std::fill(row + seen.end, row + m, A(0));
}

// keep[j] = 1/(1 − p) or 0 for keys [k0, k0 + m) of one row of weights.
template <typename A>
void dropout_row(const AttentionPlan& plan, int64_t row, int64_t keys, int64_t k0, int64_t m, A* keep) {
  uint32_t threshold = dropout_threshold(plan.dropout);
  A scale = static_cast<A>(1 / (1 - plan.dropout));
  uint64_t lane = static_cast<uint64_t>(row * keys + k0);
  std::array<uint32_t, 4> words{};
  for (int64_t j = 0; j < m; ++j, ++lane) {
    if (j == 0 || lane % 4 == 0) words = philox(plan.seed, plan.counter + lane / 4);
    keep[j] = words[lane % 4] >= threshold ? scale : A(0);
  }
}

// How many keys from the first that is seen to work on in whole vectors; what comes out for those that are not seen is cleared again.
int64_t whole_vectors(Span seen, int64_t m) { return std::min(m - seen.begin, (seen.end - seen.begin + 15) / 16 * 16); }

// x[j] ← exp(x[j] − shift) for the keys that are seen, else 0; returns the sum, in eight lanes so that it vectorises in a fixed order.
template <typename A>
A exponentials(A* x, int64_t m, Span seen, A shift) {
  A* const first = x + seen.begin;
  wide_loop(whole_vectors(seen, m), [=](int64_t j) __attribute__((always_inline)) { first[j] = special::exp(first[j] - shift); });
  clear_unseen(x, m, seen);
  A lanes[8] = {};
  int64_t j = 0;
  for (; j + 8 <= seen.end; j += 8)
    for (int64_t l = 0; l < 8; ++l) lanes[l] += x[j + l];
  for (int64_t l = 0; j < seen.end; ++j, ++l) lanes[l] += x[j];
  return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

template <typename T, typename A>
void forward_tile(const AttentionPlan& plan, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask, Tensor& out,
                  Tensor& lse, int64_t b, int64_t h, int64_t q0) {
  int64_t queries = q.size(2), keys = k.size(2), width = q.size(3), values = v.size(3), g = h / (q.size(1) / k.size(1));
  int64_t n = std::min(kQueries, queries - q0);
  Span span = visible_keys(plan, q0, n, queries, keys);
  using O = Operand<T>;
  constexpr bool kInPlace = std::is_same_v<T, O>;
  static thread_local std::vector<A> scores, sums;
  static thread_local std::vector<O> weights(std::is_same_v<O, A> ? 0 : kQueries * kKeys);
  scores.resize(static_cast<size_t>(kQueries * kKeys + kKeys));
  sums.assign(static_cast<size_t>(n * (values + 2)), 0);
  A *s = scores.data(), *keep = s + kQueries * kKeys, *acc = sums.data(), *most = acc + n * values, *total = most + n;
  std::fill_n(most, n, -std::numeric_limits<A>::infinity());
  Tile<O> query_tile(kInPlace ? 0 : kQueries * width), key_tile(kInPlace ? 0 : kKeys * width), value_tile(kInPlace ? 0 : kKeys * values);
  auto query = query_tile.load(head_rows<const T>(q, b, h), q0, n, width);
  for (int64_t k0 = span.begin; k0 < span.end; k0 += kKeys) {
    int64_t m = std::min(kKeys, span.end - k0);
    auto key = key_tile.load(head_rows<const T>(k, b, g), k0, m, width);
    gemm::multiply(n, m, width, query, transposed(key), s, m);
    for (int64_t i = 0; i < n; ++i) {
      A* row = s + i * m;
      Span seen = seen_of_tile(plan, q0 + i, k0, m, queries, keys);
      finish_scores(plan, row, seen, b, h, q0 + i, k0, mask);
      A high = std::max(most[i], lane_max(row + seen.begin, seen.end - seen.begin));
      if (high == -std::numeric_limits<A>::infinity()) {
        // It sees nothing, or nothing but NaN, which must show.
        if (std::any_of(row + seen.begin, row + seen.end, [](A score) { return std::isnan(score); }))
          total[i] = std::numeric_limits<A>::quiet_NaN();
        std::fill_n(row, m, A(0));
        continue;
      }
      A old = special::exp(most[i] - high);
      total[i] = total[i] * old + exponentials(row, m, seen, high);
      most[i] = high;
      if (k0 != span.begin)
        for (int64_t c = 0; c < values; ++c) acc[i * values + c] *= old;
      if (plan.dropout > 0) {
        dropout_row(plan, (b * q.size(1) + h) * queries + q0 + i, keys, k0, m, keep);
        for (int64_t j = seen.begin; j < seen.end; ++j) row[j] *= keep[j];
      }
    }
    auto value = value_tile.load(head_rows<const T>(v, b, g), k0, m, values);
    gemm::multiply(n, values, m, as_operand<O>(s, n, m, weights), value, acc, values, true);
  }
  auto result = head_rows<T>(out, b, h);
  A* logs = static_cast<A*>(lse.raw_data()) + (b * q.size(1) + h) * queries + q0;
  for (int64_t i = 0; i < n; ++i) {
    bool nothing = total[i] == 0;
    A scale = nothing ? 0 : 1 / total[i];
    T* y = result.row(q0 + i);
    for (int64_t c = 0; c < values; ++c) y[c] = static_cast<T>(static_cast<compute_t<T>>(acc[i * values + c] * scale));
    logs[i] = nothing ? -std::numeric_limits<A>::infinity() : most[i] + std::log(total[i]);
  }
}

template <typename T, typename A>
void forward(const AttentionPlan& plan, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask, Tensor& out, Tensor& lse) {
  int64_t heads = q.size(1), tiles = (q.size(2) + kQueries - 1) / kQueries;
  parallel_for(q.size(0) * heads * tiles, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task)
      forward_tile<T, A>(plan, q, k, v, mask, out, lse, task / tiles / heads, task / tiles % heads, task % tiles * kQueries);
  });
}

// What the backward pass of one (batch, group) keeps while it goes through its heads and tiles.
template <typename T, typename A>
class GroupBackward {
  using O = Operand<T>;

 public:
  GroupBackward(const AttentionPlan& plan, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask)
      : plan(plan), q(q), k(k), v(v), mask(mask), queries(q.size(2)), keys(k.size(2)), width(q.size(3)), values(v.size(3)),
        p(kQueries * kKeys), ds(kQueries * kKeys), keep(kKeys), delta(kQueries), p_operand(kConverts * kQueries * kKeys),
        ds_operand(kConverts * kQueries * kKeys), key_tile(kKeys * width), value_tile(kKeys * values), query_tile(kQueries * width),
        dout_tile(kQueries * values), dq_tile(kQueries * width), dk_sum(keys * width), dv_sum(keys * values) {}

  void run(int64_t b, int64_t g, const Tensor& out, const Tensor& lse, const Tensor& dout, Tensor& dq, Tensor& dk, Tensor& dv) {
    std::fill_n(dk_sum.data(), keys * width, A(0));
    std::fill_n(dv_sum.data(), keys * values, A(0));
    int64_t heads_per_group = q.size(1) / k.size(1);
    for (int64_t h = g * heads_per_group; h < (g + 1) * heads_per_group; ++h)
      for (int64_t q0 = 0; q0 < queries; q0 += kQueries) query_tile_backward(b, g, h, q0, out, lse, dout, dq);
    store(dk_sum.data(), keys, width, head_rows<T>(dk, b, g), 0);
    store(dv_sum.data(), keys, values, head_rows<T>(dv, b, g), 0);
  }

 private:
  static void store(const A* from, int64_t rows, int64_t columns, Rows<T> to, int64_t first) {
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t c = 0; c < columns; ++c) to.row(first + i)[c] = static_cast<T>(static_cast<compute_t<T>>(from[i * columns + c]));
  }
  void query_tile_backward(int64_t b, int64_t g, int64_t h, int64_t q0, const Tensor& out, const Tensor& lse, const Tensor& dout,
                           Tensor& dq);
  void weights_and_score_gradients(int64_t b, int64_t h, int64_t q0, int64_t n, int64_t k0, int64_t m, const A* logs);
  void row_of_gradients(A* weight, A* gradient, const A* kept, int64_t n, A shift, A d) const;

  const AttentionPlan& plan;
  const Tensor &q, &k, &v, &mask;
  int64_t queries, keys, width, values;
  static constexpr int64_t kConverts = !std::is_same_v<O, A>;
  std::vector<A> p, ds, keep, delta;
  std::vector<O> p_operand, ds_operand;
  Tile<O> key_tile, value_tile, query_tile, dout_tile;
  Tile<A> dq_tile, dk_sum, dv_sum;
};

// p ← softmax weights (after dropout), ds ← p ⊙ (dp − δ) · scale, where p holds products of queries and keys and ds holds dp on entry.
template <typename T, typename A>
void GroupBackward<T, A>::weights_and_score_gradients(int64_t b, int64_t h, int64_t q0, int64_t n, int64_t k0, int64_t m, const A* logs) {
  for (int64_t i = 0; i < n; ++i) {
    A *weight = p.data() + i * m, *gradient = ds.data() + i * m;
    Span seen = seen_of_tile(plan, q0 + i, k0, m, queries, keys);
    if (logs[i] == -std::numeric_limits<A>::infinity()) seen = {0, 0};
    finish_scores(plan, weight, seen, b, h, q0 + i, k0, mask);
    if (plan.dropout > 0) dropout_row(plan, (b * q.size(1) + h) * queries + q0 + i, keys, k0, m, keep.data());
    row_of_gradients(weight + seen.begin, gradient + seen.begin, keep.data() + seen.begin, whole_vectors(seen, m), logs[i],
                     delta[static_cast<size_t>(i)]);
    clear_unseen(weight, m, seen);
    clear_unseen(gradient, m, seen);
  }
}

template <typename T, typename A>
void GroupBackward<T, A>::row_of_gradients(A* weight, A* gradient, const A* kept, int64_t n, A shift, A d) const {
  A scale = static_cast<A>(plan.scale);
  if (plan.dropout > 0)
    wide_loop(n, [=](int64_t j) __attribute__((always_inline)) {
      A w = special::exp(weight[j] - shift);
      gradient[j] = w * (gradient[j] * kept[j] - d) * scale;
      weight[j] = w * kept[j];
    });
  else
    wide_loop(n, [=](int64_t j) __attribute__((always_inline)) {
      A w = special::exp(weight[j] - shift);
      gradient[j] = w * (gradient[j] - d) * scale;
      weight[j] = w;
    });
}

// Σ_c y(c) dy(c) of kRows neighbouring rows, each in the order of c; side by side, because every sum waits for its own last term.
template <int kRows, typename A, typename T>
void products_of_rows(Rows<const T> y, Rows<const T> dy, int64_t first, int64_t width, A* sums) {
  A sum[kRows] = {};
  for (int64_t c = 0; c < width; ++c)
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r)
      sum[r] +=
          static_cast<A>(static_cast<compute_t<T>>(y.row(first + r)[c])) * static_cast<A>(static_cast<compute_t<T>>(dy.row(first + r)[c]));
  std::copy_n(sum, kRows, sums);
}

template <typename T, typename A>
void GroupBackward<T, A>::query_tile_backward(int64_t b, int64_t g, int64_t h, int64_t q0, const Tensor& out, const Tensor& lse,
                                              const Tensor& dout, Tensor& dq) {
  int64_t n = std::min(kQueries, queries - q0);
  auto y = head_rows<const T>(out, b, h), dy = head_rows<const T>(dout, b, h);
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) products_of_rows<8>(y, dy, q0 + i, values, delta.data() + i);
  for (; i < n; ++i) products_of_rows<1>(y, dy, q0 + i, values, delta.data() + i);
  const A* logs = static_cast<const A*>(lse.raw_data()) + (b * q.size(1) + h) * queries + q0;
  auto query = query_tile.load(head_rows<const T>(q, b, h), q0, n, width);
  auto upstream = dout_tile.load(dy, q0, n, values);
  Span span = visible_keys(plan, q0, n, queries, keys);
  std::fill_n(dq_tile.data(), n * width, A(0));
  for (int64_t k0 = span.begin; k0 < span.end; k0 += kKeys) {
    int64_t m = std::min(kKeys, span.end - k0);
    auto key = key_tile.load(head_rows<const T>(k, b, g), k0, m, width);
    auto value = value_tile.load(head_rows<const T>(v, b, g), k0, m, values);
    gemm::multiply(n, m, width, query, transposed(key), p.data(), m);
    gemm::multiply(n, m, values, upstream, transposed(value), ds.data(), m);
    weights_and_score_gradients(b, h, q0, n, k0, m, logs);
    gemm::MatrixView<O> weights = as_operand<O>(p.data(), n, m, p_operand), gradients = as_operand<O>(ds.data(), n, m, ds_operand);
    gemm::multiply(m, values, n, transposed(weights), upstream, dv_sum.data() + k0 * values, values, true);
    gemm::multiply(m, width, n, transposed(gradients), query, dk_sum.data() + k0 * width, width, true);
    gemm::multiply(n, width, m, gradients, key, dq_tile.data(), width, true);
  }
  store(dq_tile.data(), n, width, head_rows<T>(dq, b, h), q0);
}

template <typename T, typename A>
void backward(const AttentionPlan& plan, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask, const Tensor& out,
              const Tensor& lse, const Tensor& dout, Tensor& dq, Tensor& dk, Tensor& dv) {
  int64_t groups = k.size(1);
  parallel_for(q.size(0) * groups, 1, [&](int64_t begin, int64_t end) {
    GroupBackward<T, A> work(plan, q, k, v, mask);
    for (int64_t task = begin; task < end; ++task) work.run(task / groups, task % groups, out, lse, dout, dq, dk, dv);
  });
}

void attention(const AttentionPlan& plan, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask, Tensor& out, Tensor& lse) {
  visit_floating("attention", q.dtype(), [&]<typename T>() { forward<T, compute_t<T>>(plan, q, k, v, mask, out, lse); });
}

void attention_backward(const AttentionPlan& plan, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask, const Tensor& out,
                        const Tensor& lse, const Tensor& dout, Tensor& dq, Tensor& dk, Tensor& dv) {
  visit_floating("attention_backward", q.dtype(),
                 [&]<typename T>() { backward<T, compute_t<T>>(plan, q, k, v, mask, out, lse, dout, dq, dk, dv); });
}

// Pairs of x turned by an angle that depends on the position alone: cos and sin of a position are shared by all N rows.
void rotary(const Tensor& x, const Tensor& positions, const std::vector<double>& frequencies, bool interleaved, double sign, Tensor& y) {
  int64_t count = x.size(0), length = x.size(1), width = x.size(2), half = width / 2;
  const int64_t* p = positions.data<int64_t>();
  std::vector<double> cosine(static_cast<size_t>(length * half)), sine(cosine.size());
  parallel_for(length, 64, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t)
      for (int64_t i = 0; i < half; ++i) {
        double angle = sign * static_cast<double>(p[t]) * frequencies[static_cast<size_t>(i)];
        cosine[static_cast<size_t>(t * half + i)] = std::cos(angle);
        sine[static_cast<size_t>(t * half + i)] = std::sin(angle);
      }
  });
  visit_floating("rotary", x.dtype(), [&]<typename T>() {
    using C = compute_t<T>;
    parallel_for(count * length, std::max<int64_t>(1, 8192 / std::max<int64_t>(1, width)), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const T* from = x.data<T>() + r * width;
        T* to = y.data<T>() + r * width;
        const double *c = cosine.data() + r % length * half, *s = sine.data() + r % length * half;
        for (int64_t i = 0; i < half; ++i) {
          int64_t first = interleaved ? 2 * i : i, second = interleaved ? 2 * i + 1 : i + half;
          C a = static_cast<C>(from[first]), b = static_cast<C>(from[second]), co = static_cast<C>(c[i]), si = static_cast<C>(s[i]);
          to[first] = static_cast<T>(a * co - b * si);
          to[second] = static_cast<T>(a * si + b * co);
        }
      }
    });
  });
}

}  // namespace

void register_attention() {
  kernel::attention.set(DeviceType::cpu, attention);
  kernel::attention_backward.set(DeviceType::cpu, attention_backward);
  kernel::rotary.set(DeviceType::cpu, rotary);
}

}  // namespace plumb::cpu_kernels
