// What the attention kernels share: their arguments, and which keys a query sees. Own kernels; the slots may prefer a library's.
#pragma once
#include <algorithm>
#include <cstdint>
#include <limits>

#include "cuda/runtime/random_place.h"
#include "engine/core/device_function.h"
#include "engine/core/generator.h"
#include "engine/core/tensor.h"
#include "ops/dropout_mask.h"
#include "ops/kernels/attention.h"

namespace plumb::cuda_backend {

/// The slots' contracts (ops/kernels/attention.h), by own kernels.
void own_attention(const AttentionPlan& plan, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask, Tensor& out,
                   Tensor& lse);
void own_attention_backward(const AttentionPlan& plan, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask,
                            const Tensor& out, const Tensor& lse, const Tensor& dout, Tensor& dq, Tensor& dk, Tensor& dv);

/// One [B, H, T, D] tensor whose last dimension is dense.
template <typename T>
struct HeadRows {
  T* data;
  int64_t batch, head, row;  ///< strides in elements

  explicit HeadRows(const Tensor& t)
      : data(static_cast<T*>(t.raw_data())), batch(t.strides()[0]), head(t.strides()[1]), row(t.strides()[2]) {}
  PLUMB_DEVICE T* of(int64_t b, int64_t h) const { return data + b * batch + h * head; }
  /// All rows begin at multiples of 16 bytes and hold a multiple of 16 bytes.
  bool aligned(int64_t width) const {
    constexpr int64_t each = 16 / static_cast<int64_t>(sizeof(T));
    return reinterpret_cast<uintptr_t>(data) % 16 == 0 && batch % each == 0 && head % each == 0 && row % each == 0 && width % each == 0;
  }
};

/// Indices [begin, end).
struct IndexRange {
  int begin, end;
};

/// What dropout does to the weights: kept ones are multiplied by `keep`, the others by 0.
struct WeightDropout {
  bool on;
  uint32_t threshold;
  double keep;
  DevicePlace place;

  explicit WeightDropout(const AttentionPlan& plan)
      : on(plan.dropout > 0),
        threshold(dropout_threshold(plan.dropout)),
        keep(1 / (1 - plan.dropout)),
        place(device_place(plan.seed, plan.counter)) {}
  /// Whether weight number `lane` = row · keys + key is kept, row = (b · H + h) · queries + query.
  __device__ bool keeps(int64_t lane) const {
    const auto words = philox(place.seed, place.first() + static_cast<uint64_t>(lane) / 4);
    const int which = static_cast<int>(lane & 3);
    const uint32_t word = which == 0 ? words[0] : which == 1 ? words[1] : which == 2 ? words[2] : words[3];
    return word >= threshold;
  }
  template <typename A>
  __device__ A factor(int64_t lane) const {
    return keeps(lane) ? static_cast<A>(keep) : A(0);
  }
};

/// The arguments of every attention kernel. A is the type of scores: f32, or f64 for f64.
template <typename T, typename A = compute_t<T>>
struct AttentionArguments {
  HeadRows<const T> q, k, v;
  const A* mask;  ///< null: none
  int64_t mask_batch, mask_head, mask_query, mask_key;
  int batch, heads, groups, queries, keys, width, values;
  A scale;
  bool causal;
  int window;
  WeightDropout dropout;

  AttentionArguments(const AttentionPlan& plan, const Tensor& q_, const Tensor& k_, const Tensor& v_, const Tensor& mask_)
      : q(q_),
        k(k_),
        v(v_),
        mask(mask_.defined() ? static_cast<const A*>(mask_.raw_data()) : nullptr),
        mask_batch(mask ? mask_.strides()[0] : 0),
        mask_head(mask ? mask_.strides()[1] : 0),
        mask_query(mask ? mask_.strides()[2] : 0),
        mask_key(mask ? mask_.strides()[3] : 0),
        batch(static_cast<int>(q_.size(0))),
        heads(static_cast<int>(q_.size(1))),
        groups(static_cast<int>(k_.size(1))),
        queries(static_cast<int>(q_.size(2))),
        keys(static_cast<int>(k_.size(2))),
        width(static_cast<int>(q_.size(3))),
        values(static_cast<int>(v_.size(3))),
        scale(static_cast<A>(plan.scale)),
        causal(plan.causal),
        window(static_cast<int>(std::min<int64_t>(plan.window, 1 << 30))),
        dropout(plan) {}

  PLUMB_DEVICE int group_of(int head) const { return head / (heads / groups); }
  PLUMB_DEVICE int64_t row_of(int b, int h, int query) const { return (static_cast<int64_t>(b) * heads + h) * queries + query; }
  PLUMB_DEVICE A masked(int b, int h, int query, int key) const {
    return mask[b * mask_batch + h * mask_head + query * mask_query + key * mask_key];
  }

  PLUMB_DEVICE bool sees(int query, int key) const {
    const int last = query + keys - queries;
    return key < keys && (!causal || (key <= last && (window == 0 || key > last - window)));
  }
  /// Each of `n` queries from q0 on sees each of `m` keys from k0 on.
  PLUMB_DEVICE bool sees_all(int q0, int n, int k0, int m) const {
    const int shift = keys - queries;
    return k0 + m <= keys && (!causal || (k0 + m - 1 <= q0 + shift && (window == 0 || k0 > q0 + n - 1 + shift - window)));
  }
  /// The keys that any of `n` queries from q0 on sees.
  PLUMB_DEVICE IndexRange visible_keys(int q0, int n) const {
    if (!causal) return {0, keys};
    const int shift = keys - queries, begin = window > 0 ? q0 + shift - window + 1 : 0, end = q0 + n + shift;
    return {begin < 0 ? 0 : begin, end < keys ? end : keys};
  }
  /// The queries that see any of `m` keys from k0 on.
  PLUMB_DEVICE IndexRange seeing_queries(int k0, int m) const {
    if (!causal) return {0, queries};
    const int shift = keys - queries, begin = k0 - shift;
    const int64_t end = window > 0 ? int64_t{k0} + m - 1 - shift + window : queries;
    return {begin < 0 ? 0 : begin, end < queries ? static_cast<int>(end) : queries};
  }
};

/// Kernels on tensor cores for bf16 and f16, widths up to 256.
inline constexpr int64_t kTensorCoreWidth = 256;
template <typename T>
void attention_on_tensor_cores(const AttentionArguments<T>& arguments, Tensor& out, Tensor& lse);
/// Forward for at most kFewQueries queries, f32 and 16-bit types, widths up to 256, without dropout.
inline constexpr int kFewQueries = 4;
template <typename T>
void attention_of_few(const AttentionArguments<T>& arguments, Tensor& out, Tensor& lse);
/// Kernels without, for every type and width.
template <typename T>
void attention_plain(const AttentionArguments<T>& arguments, Tensor& out, Tensor& lse);
template <typename T>
void attention_backward_plain(const AttentionArguments<T>& arguments, const Tensor& dout, const compute_t<T>* lse,
                              const compute_t<T>* delta, Tensor& dq, Tensor& dk, Tensor& dv);

}  // namespace plumb::cuda_backend
