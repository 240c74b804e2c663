// GPT, forward. The derivative is the operations'.
#include "models/transformer/gpt.h"

#include "engine/autograd/checkpoint.h"
#include "engine/autograd/grad_mode.h"
#include "models/transformer/initial_weights.h"
#include "ops/attention.h"
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
  Tensor y = packed_attention(qkv(x), heads, heads, {.causal = true, .dropout = training() ? dropout : 0});
  return residual_dropout(through_bottleneck(out(y)));
}

Tensor CausalAttention::operator()(const Tensor& x, KeyValueCache& cache, size_t block) const {
  Tensor split = transpose(unflatten(qkv(x), 2, {3 * heads, x.size(2) / heads}), 1, 2);  // [B, 3 heads, T, width / heads]
  auto [keys, values] = cache.extend(block, slice(split, 1, heads, 2 * heads), slice(split, 1, 2 * heads));
  Tensor queries = plumb::to(slice(split, 1, 0, heads), keys.dtype());  // of another type under autocast
  Tensor y = scaled_dot_product_attention(queries, keys, values, {.causal = true});
  return through_bottleneck(out(flatten(transpose(y, 1, 2), 2)));
}

Block::Block(const GptConfig& c)
    : norm1(this, "norm1", c.width, {.eps = c.norm_eps, .bias = c.bias}), attention(this, "attention", c),
      norm2(this, "norm2", c.width, {.eps = c.norm_eps, .bias = c.bias}),
      mlp(this, "mlp", c.width, c.inner > 0 ? c.inner : 4 * c.width,
          {.activation = nn::activation_named(c.activation), .bias = c.bias, .dropout = c.dropout}) {}

Tensor Block::operator()(const Tensor& x) const {
  Residual out = (*this)(Residual{x, {}});
  return out.x + out.branch;
}

Residual Block::operator()(const Residual& stream) const {
  AddNorm first = norm1.added(stream.x, stream.branch), second = norm2.added(first.sum, attention(first.norm));
  return {second.sum, mlp(second.norm)};
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
      norm_(this, "norm", c.width, {.eps = c.norm_eps, .bias = c.bias}),
      head_(this, "head", c.width, c.vocab, {.bias = false}) {
  for (int64_t i = 0; i < c.layers; ++i) blocks_.emplace_back(c);
  if (c.tied) head_.weight = token_embedding_.weight;
  draw_weights(*this, initial_deviation(c.width), c.layers, {"attention.out.weight", "mlp.down.weight"});
}

Tensor Gpt::embedded(const Tensor& tokens, int64_t first, const nn::SoftPrompt* prompt) const {
  if (tokens.rank() != 2) throw ShapeError("gpt: takes tokens [B, T], got " + to_string(tokens.shape()));
  int64_t end = first + tokens.size(1) + (prompt ? prompt->length() : 0);
  if (end > config_.context)
    throw ShapeError("gpt: " + std::to_string(end) + " tokens are more than the context of " + std::to_string(config_.context));
  Tensor x = token_embedding_(tokens);
  return dropout_((prompt ? (*prompt)(x) : x) + slice(position_embedding_.weight, 0, first, end));
}

Tensor Gpt::operator()(const Tensor& tokens) const {
  Residual stream{embedded(tokens, 0), {}};
  for (const Block& block : blocks_) {
    if (recompute && training()) stream.x = checkpoint([&block, x = stream.x] { return block(x); });
    else stream = block(stream);
  }
  return head_(norm_.added(stream.x, stream.branch).norm);
}

Tensor Gpt::operator()(const Tensor& tokens, const nn::SoftPrompt& prompt) const {
  Tensor x = embedded(tokens, 0, &prompt);
  for (const Block& block : blocks_) x = block(x);
  return head_(norm_(slice(x, 1, prompt.length())));
}

KeyValueCache Gpt::make_cache(int64_t batch) const {
  const Tensor& like = token_embedding_.weight;
  return {config_.layers, batch, config_.heads, config_.context, config_.width / config_.heads, like.dtype(), like.device()};
}

Tensor Gpt::continued(const Tensor& tokens, KeyValueCache& cache, const nn::SoftPrompt* prompt) const {
  NoGrad off;
  Tensor x = embedded(tokens, cache.length, prompt);
  for (size_t i = 0; i < blocks_.size(); ++i) x = blocks_[i](x, cache, i);
  cache.length += x.size(1);
  return head_(norm_(select(x, 1, -1)));
}

Tensor Gpt::next(const Tensor& tokens, KeyValueCache& cache) const { return continued(tokens, cache, nullptr); }
Tensor Gpt::next(const Tensor& tokens, KeyValueCache& cache, const nn::SoftPrompt& prompt) const {
  return continued(tokens, cache, cache.length == 0 ? &prompt : nullptr);
}

PromptedGpt::PromptedGpt(const Gpt& model, const nn::SoftPrompt& prompt) : model_(model), prompt_(prompt) {
  if (prompt.length() >= model.context())
    throw ValueError("gpt: a prompt of " + std::to_string(prompt.length()) + " leaves no room in the context of " +
                     std::to_string(model.context()));
}

}  // namespace plumb::transformer
