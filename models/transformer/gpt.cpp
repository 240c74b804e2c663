// GPT, forward. The derivative is the operations'.
#include "models/transformer/gpt.h"

#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "models/nn/init.h"
#include "ops/activation.h"
#include "ops/attention.h"
#include "ops/create.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::transformer {

CausalAttention::CausalAttention(nn::Module* parent, std::string name, const GptConfig& c)
    : Module(parent, std::move(name)),
      qkv(this, "qkv", c.width, 3 * c.width, {.bias = c.bias}),
      out(this, "out", c.width, c.width, {.bias = c.bias}),
      residual_dropout(this, "residual_dropout", c.dropout),
      heads(c.heads),
      dropout(c.dropout) {}

Tensor CausalAttention::operator()(const Tensor& x) const {
  return residual_dropout(out(packed_attention(qkv(x), heads, heads, {.causal = true, .dropout = training() ? dropout : 0})));
}

Tensor CausalAttention::operator()(const Tensor& x, KeyValueCache& cache, size_t block) const {
  int64_t added = x.size(1), length = cache.length + added, width = x.size(2);
  Tensor split = transpose(unflatten(qkv(x), 2, {3 * heads, width / heads}), 1, 2);  // [B, 3 heads, T, width / heads]
  Tensor key_place = slice(cache.keys[block], 2, cache.length, length), value_place = slice(cache.values[block], 2, cache.length, length);
  copy_(key_place, slice(split, 1, heads, 2 * heads));
  copy_(value_place, slice(split, 1, 2 * heads));
  Tensor y = scaled_dot_product_attention(slice(split, 1, 0, heads), slice(cache.keys[block], 2, 0, length), slice(cache.values[block], 2, 0, length), {.causal = true});
  return out(flatten(transpose(y, 1, 2), 2));
}

FeedForward::FeedForward(nn::Module* parent, std::string name, const GptConfig& c)
    : Module(parent, std::move(name)),
      up(this, "up", c.width, 4 * c.width, {.bias = c.bias}),
      down(this, "down", 4 * c.width, c.width, {.bias = c.bias}),
      residual_dropout(this, "residual_dropout", c.dropout) {}

Tensor FeedForward::operator()(const Tensor& x) const { return residual_dropout(down(gelu(up(x)))); }

Block::Block(const GptConfig& c)
    : norm1(this, "norm1", c.width, {.bias = c.bias}), attention(this, "attention", c), norm2(this, "norm2", c.width, {.bias = c.bias}), mlp(this, "mlp", c) {}

Tensor Block::operator()(const Tensor& x) const {
  Tensor y = x + attention(norm1(x));
  return y + mlp(norm2(y));
}

Tensor Block::operator()(const Tensor& x, KeyValueCache& cache, size_t block) const {
  Tensor y = x + attention(norm1(x), cache, block);
  return y + mlp(norm2(y));
}

Gpt::Gpt(const GptConfig& c)
    : config_((c.check(), c)),
      token_embedding_(this, "token_embedding", c.vocab, c.width),
      position_embedding_(this, "position_embedding", c.context, c.width),
      dropout_(this, "dropout", c.dropout),
      blocks_(this, "blocks"),
      norm_(this, "norm", c.width, {.bias = c.bias}),
      head_(this, "head", c.width, c.vocab, {.bias = false}) {
  for (int64_t i = 0; i < c.layers; ++i) blocks_.emplace_back(c);
  if (c.tied) head_.weight = token_embedding_.weight;
  NoGrad off;
  double std = 0.02 * std::sqrt(768.0 / static_cast<double>(c.width)), residual = std / std::sqrt(2.0 * static_cast<double>(c.layers));
  for (auto& [name, parameter] : named_parameters()) {
    Tensor p = parameter;
    if (name == "head.weight" && c.tied) continue;
    bool into_residual = name.ends_with("attention.out.weight") || name.ends_with("mlp.down.weight");
    if (p.rank() >= 2) nn::init::normal(p, 0, into_residual ? residual : std);
    else if (name.ends_with("bias")) zero_(p);
  }
}

Tensor Gpt::embedded(const Tensor& tokens, int64_t first) const {
  if (tokens.rank() != 2) throw ShapeError("gpt: takes tokens [B, T], got " + to_string(tokens.shape()));
  if (first + tokens.size(1) > config_.context)
    throw ShapeError("gpt: " + std::to_string(first + tokens.size(1)) + " tokens are more than the context of " + std::to_string(config_.context));
  return dropout_(token_embedding_(tokens) + slice(position_embedding_.weight, 0, first, first + tokens.size(1)));
}

Tensor Gpt::operator()(const Tensor& tokens) const {
  Tensor x = embedded(tokens, 0);
  for (const Block& block : blocks_) x = block(x);
  return head_(norm_(x));
}

KeyValueCache Gpt::make_cache(int64_t batch) const {
  KeyValueCache cache;
  const Tensor& like = token_embedding_.weight;
  for (int64_t i = 0; i < config_.layers; ++i)
    for (auto* list : {&cache.keys, &cache.values}) list->push_back(zeros({batch, config_.heads, config_.context, config_.width / config_.heads}, like.dtype(), like.device()));
  return cache;
}

Tensor Gpt::next(const Tensor& tokens, KeyValueCache& cache) const {
  NoGrad off;
  Tensor x = embedded(tokens, cache.length);
  for (size_t i = 0; i < blocks_.size(); ++i) x = blocks_[i](x, cache, i);
  cache.length += tokens.size(1);
  return head_(norm_(select(x, 1, -1)));
}

}  // namespace plumb::transformer
