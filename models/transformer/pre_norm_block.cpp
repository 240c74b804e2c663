// The pre-norm block, forward.
#include "models/transformer/pre_norm_block.h"

#include "ops/pointwise.h"

namespace plumb::transformer {

PreNormBlock::PreNormBlock(const PreNormOptions& o)
    : norm1(this, "norm1", o.width, {.eps = o.norm_eps}),
      attention(this, "attention", o.width, o.heads, {.dropout = o.attention_dropout}),
      dropout(this, "dropout", o.dropout),
      norm2(this, "norm2", o.width, {.eps = o.norm_eps}),
      mlp(this, "mlp", o.width, o.inner, {.activation = o.activation, .gated = o.gated, .dropout = o.dropout}) {}

Tensor PreNormBlock::operator()(const Tensor& x, const Tensor& mask) const {
  Tensor y = x + dropout(attention(norm1(x), {.mask = mask}));
  return y + mlp(norm2(y));
}

}  // namespace plumb::transformer
