// Llama, forward. The derivative is the operations'.
#include "models/transformer/llama.h"

#include "engine/autograd/grad_mode.h"
#include "models/transformer/initial_weights.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::transformer {

static nn::MultiheadAttentionOptions attention_options(const LlamaConfig& c) {
  return {.key_value_heads = c.key_value_heads,
          .head_width = c.head_width,
          .bias = c.attention_bias,
          .out_bias = c.out_bias,
          .rotary = RotaryOptions{.base = c.rope_base, .scaling = {c.rope_factor, c.rope_low, c.rope_high, c.rope_original_context}},
          .dropout = c.dropout};
}

LlamaBlock::LlamaBlock(const LlamaConfig& c)
    : norm1(this, "norm1", c.width, {.eps = c.norm_eps}), attention(this, "attention", c.width, c.heads, attention_options(c)),
      dropout(this, "dropout", c.dropout), norm2(this, "norm2", c.width, {.eps = c.norm_eps}),
      mlp(this, "mlp", c.width, c.inner,
          {.activation = nn::activation_named(c.activation), .gated = true, .bias = c.mlp_bias, .dropout = c.dropout}),
      window(c.window) {}

Tensor LlamaBlock::operator()(const Tensor& x) const {
  Tensor y = x + dropout(attention(norm1(x), {.causal = true, .window = window}));
  return y + mlp(norm2(y));
}

Tensor LlamaBlock::operator()(const Tensor& x, KeyValueCache& cache, size_t block) const {
  Tensor y = x + attention(norm1(x), cache, block, {.causal = true, .window = window});
  return y + mlp(norm2(y));
}

Llama::Llama(const LlamaConfig& c)
    : config_((c.check(), c)),
      token_embedding_(this, "token_embedding", c.vocab, c.width),
      blocks_(this, "blocks"),
      norm_(this, "norm", c.width, {.eps = c.norm_eps}),
      head_(this, "head", c.width, c.vocab, {.bias = false}) {
  for (int64_t i = 0; i < c.layers; ++i) blocks_.emplace_back(c);
  if (c.tied) head_.weight = token_embedding_.weight;
  draw_weights(*this, initial_deviation(c.width), c.layers, {"attention.out.weight", "mlp.down.weight"});
}

void Llama::check_tokens(const Tensor& tokens, int64_t first) const {
  if (tokens.rank() != 2) throw ShapeError("llama: takes tokens [B, T], got " + to_string(tokens.shape()));
  if (first + tokens.size(1) > config_.context)
    throw ShapeError("llama: " + std::to_string(first + tokens.size(1)) + " tokens are more than the context of " +
                     std::to_string(config_.context));
}

Tensor Llama::operator()(const Tensor& tokens) const {
  check_tokens(tokens, 0);
  Tensor x = token_embedding_(tokens);
  for (const LlamaBlock& block : blocks_) x = block(x);
  return head_(norm_(x));
}

Tensor Llama::operator()(const Tensor& tokens, const nn::SoftPrompt& prompt) const {
  check_tokens(tokens, prompt.length());
  Tensor x = prompt(token_embedding_(tokens));
  for (const LlamaBlock& block : blocks_) x = block(x);
  return head_(norm_(slice(x, 1, prompt.length())));
}

KeyValueCache Llama::make_cache(int64_t batch) const {
  const LlamaConfig& c = config_;
  const Tensor& like = token_embedding_.weight;
  int64_t heads = c.key_value_heads > 0 ? c.key_value_heads : c.heads, width = c.head_width > 0 ? c.head_width : c.width / c.heads;
  return {c.layers, batch, heads, c.context, width, like.dtype(), like.device()};
}

Tensor Llama::next(const Tensor& tokens, KeyValueCache& cache) const {
  NoGrad off;
  check_tokens(tokens, cache.length);
  Tensor x = token_embedding_(tokens);
  for (size_t i = 0; i < blocks_.size(); ++i) x = blocks_[i](x, cache, i);
  cache.length += tokens.size(1);
  return head_(norm_(select(x, 1, -1)));
}

}  // namespace plumb::transformer
