// The BERT-style encoder, forward. The derivative is the operations'.
#include "models/transformer/encoder.h"

#include "engine/autograd/grad_mode.h"
#include "models/transformer/initial_weights.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::transformer {

EncoderBlock::EncoderBlock(const EncoderConfig& c)
    : attention(this, "attention", c.width, c.heads, {.dropout = c.attention_dropout}),
      dropout(this, "dropout", c.dropout),
      norm1(this, "norm1", c.width, {.eps = c.norm_eps}),
      mlp(this, "mlp", c.width, c.inner, {.activation = nn::activation_named(c.activation), .dropout = c.dropout}),
      norm2(this, "norm2", c.width, {.eps = c.norm_eps}) {}

Tensor EncoderBlock::operator()(const Tensor& x, const Tensor& mask) const {
  Tensor y = norm1(x + dropout(attention(x, {.mask = mask})));
  return norm2(y + mlp(y));
}

Encoder::Encoder(const EncoderConfig& c)
    : config_((c.check(), c)),
      token_embedding_(this, "token_embedding", c.vocab, c.width, {.padding_idx = c.padding}),
      position_embedding_(this, "position_embedding", c.context, c.width),
      type_embedding_(this, "type_embedding", c.token_types, c.width),
      embedding_norm_(this, "embedding_norm", c.width, {.eps = c.norm_eps}),
      dropout_(this, "dropout", c.dropout),
      blocks_(this, "blocks") {
  for (int64_t i = 0; i < c.layers; ++i) blocks_.emplace_back(c);
  if (c.pooler) register_module("pooler", pooler_.emplace(c.width, c.width));
  draw_weights(*this, initial_deviation(c.width));
  NoGrad off;
  if (c.padding < 0) return;
  Tensor row = select(token_embedding_.weight.detach(), 0, c.padding);
  copy_data(zeros(row.shape()), row);
}

Tensor Encoder::operator()(const Tensor& tokens, const Tensor& mask, const Tensor& types) const {
  if (tokens.rank() != 2) throw ShapeError("encoder: takes tokens [B, T], got " + to_string(tokens.shape()));
  int64_t length = tokens.size(1);
  if (length > config_.context)
    throw ShapeError("encoder: " + std::to_string(length) + " tokens are more than the context of " + std::to_string(config_.context));
  for (auto [name, given] : {std::pair{"mask", &mask}, {"types", &types}})
    if (given->defined() && given->shape() != tokens.shape())
      throw ShapeError(std::string("encoder: ") + name + " is " + to_string(given->shape()) + ", tokens are " + to_string(tokens.shape()));
  Tensor kinds = types.defined() ? type_embedding_(types) : slice(type_embedding_.weight, 0, 0, 1);
  Tensor x = dropout_(embedding_norm_(token_embedding_(tokens) + slice(position_embedding_.weight, 0, 0, length) + kinds));
  Tensor seen = mask.defined() ? unsqueeze(unsqueeze(mask.dtype() == boolean ? mask : mask != 0, 1), 1) : mask;
  for (const EncoderBlock& block : blocks_) x = block(x, seen);
  return x;
}

Tensor Encoder::pooled(const Tensor& hidden) const {
  if (!pooler_) throw ValueError("encoder: this model has no pooler");
  return tanh((*pooler_)(select(hidden, 1, 0)));
}

Tensor masked_mean(const Tensor& hidden, const Tensor& mask) {
  if (hidden.rank() != 3 || mask.shape() != Shape{hidden.size(0), hidden.size(1)})
    throw ShapeError("masked_mean: hidden states " + to_string(hidden.shape()) + " and mask " + to_string(mask.shape()) +
                     " do not fit [B, T, width] and [B, T]");
  Tensor weight = unsqueeze(to(mask, hidden.dtype()), 2);
  return sum(hidden * weight, {1}) / clamp_min(sum(weight, {1}), 1);
}

}  // namespace plumb::transformer
