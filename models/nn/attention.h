// Multi-head attention as a layer.
#pragma once
#include "models/nn/linear.h"
#include "ops/attention.h"

namespace plumb::nn {

struct MultiheadAttentionOptions {
  int64_t key_value_heads = 0;  ///< grouped-query attention: fewer heads of keys and values; 0: as many as of queries
  int64_t key_width = 0;        ///< of what keys and values are made from; 0: width
  bool bias = true;
  double dropout = 0;           ///< of attention weights, in training mode
  DType dtype = f32;
  Device device = {};
};

/// out(attention(query(x), key(c), value(c))) with the width divided among the heads (Vaswani et al. 2017); c is x itself (self-attention)
/// or another sequence. Projections start Xavier-uniform, biases as 0. Throws ValueError unless the heads divide the width and the
/// key_value_heads divide the heads.
class MultiheadAttention : public Module {
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

  Linear query, key, value, out;

 private:
  int64_t heads_, key_value_heads_;
  double dropout_;
};

}  // namespace plumb::nn
