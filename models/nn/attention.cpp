// Multi-head attention as a layer.
#include "models/nn/attention.h"

#include "models/nn/init.h"
#include "ops/shape.h"

namespace plumb::nn {
namespace {

int64_t head_width(int64_t width, int64_t heads, int64_t key_value_heads) {
  if (width < 1 || heads < 1 || width % heads != 0)
    throw ValueError("attention: the width " + std::to_string(width) + " is not a multiple of the " + std::to_string(heads) + " heads");
  if (key_value_heads < 1 || heads % key_value_heads != 0)
    throw ValueError("attention: the " + std::to_string(heads) + " heads are not a multiple of the " + std::to_string(key_value_heads) + " heads of keys and values");
  return width / heads;
}

int64_t or_else(int64_t value, int64_t otherwise) { return value == 0 ? otherwise : value; }

// [B, T, heads · D] → [B, heads, T, D]
Tensor split_heads(const Tensor& x, int64_t heads) { return transpose(unflatten(x, 2, {heads, x.size(2) / heads}), 1, 2); }

}  // namespace

MultiheadAttention::MultiheadAttention(int64_t width, int64_t heads, MultiheadAttentionOptions o)
    : query(width, width, {o.bias, o.dtype, o.device}),
      key(or_else(o.key_width, width), head_width(width, heads, or_else(o.key_value_heads, heads)) * or_else(o.key_value_heads, heads), {o.bias, o.dtype, o.device}),
      value(or_else(o.key_width, width), head_width(width, heads, or_else(o.key_value_heads, heads)) * or_else(o.key_value_heads, heads), {o.bias, o.dtype, o.device}),
      out(width, width, {o.bias, o.dtype, o.device}),
      heads_(heads),
      key_value_heads_(or_else(o.key_value_heads, heads)),
      dropout_(o.dropout) {
  if (!(o.dropout >= 0 && o.dropout < 1)) throw ValueError("attention: dropout must lie in [0, 1), it is " + std::to_string(o.dropout));
  register_module("query", query);
  register_module("key", key);
  register_module("value", value);
  register_module("out", out);
  for (Linear* projection : {&query, &key, &value, &out}) {
    init::xavier_uniform(projection->weight);
    if (o.bias) init::zeros(projection->bias);
  }
}

Tensor MultiheadAttention::operator()(const Tensor& x, const AttentionOptions& options) const { return (*this)(x, x, options); }

Tensor MultiheadAttention::operator()(const Tensor& x, const Tensor& context, const AttentionOptions& options) const {
  if (x.rank() != 3 || context.rank() != 3) throw ShapeError("attention: takes [B, T, width], got " + to_string(x.shape()) + " and " + to_string(context.shape()));
  AttentionOptions o = options;
  o.dropout = training() ? dropout_ : 0;
  Tensor q = split_heads(query(x), heads_), k = split_heads(key(context), key_value_heads_), v = split_heads(value(context), key_value_heads_);
  return out(flatten(transpose(scaled_dot_product_attention(q, k, v, o), 1, 2), 2));
}

}  // namespace plumb::nn
