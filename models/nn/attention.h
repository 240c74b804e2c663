// Multi-head attention as a layer.
#pragma once
#include <optional>

#include "models/nn/bottleneck.h"
#include "models/nn/key_value_cache.h"
#include "models/nn/linear.h"
#include "ops/attention.h"

namespace plumb::nn {

struct MultiheadAttentionOptions {
  int64_t key_value_heads = 0;  ///< grouped-query attention: fewer heads of keys and values; 0: as many as of queries
  int64_t key_width = 0;        ///< of what keys and values are made from; 0: width
  int64_t head_width = 0;       ///< of one head; 0: width / heads
  bool bias = true;             ///< of the projections of queries, keys and values
  std::optional<bool> out_bias = {};  ///< of the last projection; by default as bias
  std::optional<RotaryOptions> rotary = {};  ///< turns queries and keys by their positions (self-attention only)
  double dropout = 0;           ///< of attention weights, in training mode
  DType dtype = f32;
  Device device = {};
};

/// out(attention(query(x), key(c), value(c))) with the width divided among the heads (Vaswani et al. 2017); c is x itself (self-attention)
/// or another sequence. Projections start Xavier-uniform, biases as 0. Throws ValueError unless the heads divide the width (or head_width
/// is given) and the key_value_heads divide the heads.
class MultiheadAttention : public Module, public BottleneckPlace {
 public:
  MultiheadAttention(int64_t width, int64_t heads, MultiheadAttentionOptions options = {});
  MultiheadAttention(Module* parent, std::string name, int64_t width, int64_t heads, MultiheadAttentionOptions options = {})
      : MultiheadAttention(width, heads, options) {
    join(parent, std::move(name));
  }
  /// x [B, T, width] → [B, T, width]. Of `options`, causal, window, scale and mask are used: a mask broadcasts to [B, heads, T, T].
  Tensor operator()(const Tensor& x, const AttentionOptions& options = {}) const;
  /// x [B, T, width], context [B, S, key_width] → [B, T, width]; a mask broadcasts to [B, heads, T, S].
  Tensor operator()(const Tensor& x, const Tensor& context, const AttentionOptions& options = {}) const;

  /// x that goes on after the tokens whose keys and values `cache` holds for `layer`, and which it then holds too (the caller advances
  /// cache.length when all layers are done). Causal.
  Tensor operator()(const Tensor& x, KeyValueCache& cache, size_t layer, const AttentionOptions& options = {}) const;

  /// Keys and values of a context that many sequences of queries attend to, and attention to them:
  /// attend(x, project(context)) is (*this)(x, context).
  std::pair<Tensor, Tensor> project(const Tensor& context) const;
  Tensor attend(const Tensor& x, const std::pair<Tensor, Tensor>& keys_and_values, const AttentionOptions& options = {}) const;

  int64_t output_width() const override { return out.weight.size(0); }

  Linear query, key, value, out;

 private:
  Tensor attended(const Tensor& q, const Tensor& k, const Tensor& v, AttentionOptions options) const;
  std::optional<RotaryOptions> rotary_;
  int64_t heads_, key_value_heads_;
  double dropout_;
};

}  // namespace plumb::nn
