// Multi-head attention as a layer.
#include "models/nn/attention.h"

#include "models/nn/init.h"
#include "ops/create.h"
#include "ops/shape.h"

namespace plumb::nn {
namespace {

int64_t head_width(int64_t width, int64_t heads, int64_t key_value_heads, int64_t given) {
  if (given == 0 && (width < 1 || heads < 1 || width % heads != 0))
    throw ValueError("attention: the width " + std::to_string(width) + " is not a multiple of the " + std::to_string(heads) + " heads");
  if (key_value_heads < 1 || heads % key_value_heads != 0)
    throw ValueError("attention: the " + std::to_string(heads) + " heads are not a multiple of the " + std::to_string(key_value_heads) +
                     " heads of keys and values");
  return given == 0 ? width / heads : given;
}

int64_t or_else(int64_t value, int64_t otherwise) { return value == 0 ? otherwise : value; }

// [B, T, heads · D] → [B, heads, T, D]
Tensor split_heads(const Tensor& x, int64_t heads) { return transpose(unflatten(x, 2, {heads, x.size(2) / heads}), 1, 2); }

Tensor rotated(const Tensor& x, int64_t first, const std::optional<RotaryOptions>& options) {
  return options ? rotary_embedding(x, arange(first, first + x.size(2), 1, i64, x.device()), *options) : x;
}

}  // namespace

MultiheadAttention::MultiheadAttention(int64_t width, int64_t heads, MultiheadAttentionOptions o)
    : query(width, head_width(width, heads, or_else(o.key_value_heads, heads), o.head_width) * heads, {o.bias, o.dtype, o.device}),
      key(or_else(o.key_width, width), query.weight.size(0) / heads * or_else(o.key_value_heads, heads), {o.bias, o.dtype, o.device}),
      value(or_else(o.key_width, width), query.weight.size(0) / heads * or_else(o.key_value_heads, heads), {o.bias, o.dtype, o.device}),
      out(query.weight.size(0), width, {o.out_bias.value_or(o.bias), o.dtype, o.device}),
      rotary_(o.rotary),
      heads_(heads),
      key_value_heads_(or_else(o.key_value_heads, heads)),
      dropout_(o.dropout) {
  if (!(o.dropout >= 0 && o.dropout < 1)) throw ValueError("attention: dropout must lie in [0, 1), it is " + decimal(o.dropout));
  register_module("query", query);
  register_module("key", key);
  register_module("value", value);
  register_module("out", out);
  for (Linear* projection : {&query, &key, &value, &out}) {
    init::xavier_uniform(projection->weight);
    if (projection->bias.defined()) init::zeros(projection->bias);
  }
}

static void check_sequences(const Tensor& x, const Tensor& context) {
  if (x.rank() != 3 || context.rank() != 3)
    throw ShapeError("attention: takes [B, T, width], got " + to_string(x.shape()) + " and " + to_string(context.shape()));
}

Tensor MultiheadAttention::attended(const Tensor& q, const Tensor& k, const Tensor& v, AttentionOptions o) const {
  o.dropout = training() ? dropout_ : 0;
  return through_bottleneck(out(flatten(transpose(scaled_dot_product_attention(q, k, v, o), 1, 2), 2)));
}

Tensor MultiheadAttention::operator()(const Tensor& x, const AttentionOptions& options) const {
  check_sequences(x, x);
  Tensor q = split_heads(query(x), heads_), k = split_heads(key(x), key_value_heads_), v = split_heads(value(x), key_value_heads_);
  return attended(rotated(q, 0, rotary_), rotated(k, 0, rotary_), v, options);
}

Tensor MultiheadAttention::operator()(const Tensor& x, KeyValueCache& cache, size_t layer, const AttentionOptions& options) const {
  check_sequences(x, x);
  Tensor q = split_heads(query(x), heads_), k = split_heads(key(x), key_value_heads_), v = split_heads(value(x), key_value_heads_);
  auto [keys, values] = cache.extend(layer, rotated(k, cache.length, rotary_), v);
  AttentionOptions o = options;
  o.causal = true;
  return attended(plumb::to(rotated(q, cache.length, rotary_), keys.dtype()), keys, values, o);  // of another type under autocast
}

Tensor MultiheadAttention::operator()(const Tensor& x, const Tensor& context, const AttentionOptions& options) const {
  check_sequences(x, context);
  return attend(x, project(context), options);
}

std::pair<Tensor, Tensor> MultiheadAttention::project(const Tensor& context) const {
  return {split_heads(key(context), key_value_heads_), split_heads(value(context), key_value_heads_)};
}

Tensor MultiheadAttention::attend(const Tensor& x, const std::pair<Tensor, Tensor>& keys_and_values,
                                  const AttentionOptions& options) const {
  return attended(split_heads(query(x), heads_), keys_and_values.first, keys_and_values.second, options);
}

}  // namespace plumb::nn
