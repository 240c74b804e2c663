// Attention and feed-forward parts, forward.
#include "models/unet/transformer_block.h"

#include "ops/activation.h"
#include "ops/attention.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::unet {
namespace {

// [B, T, heads · D] → [B, heads, T, D]
Tensor split_heads(const Tensor& x, int64_t heads) { return transpose(unflatten(x, 2, {heads, -1}), 1, 2); }

int64_t checked_heads(int64_t width, int64_t heads) {
  if (heads < 1 || width % heads != 0)
    throw ValueError("cross_attention: " + std::to_string(heads) + " heads do not divide the width " + std::to_string(width));
  return heads;
}

}  // namespace

CrossAttention::CrossAttention(nn::Module* parent, std::string name, int64_t width, int64_t heads, int64_t context)
    : Module(parent, std::move(name)),
      to_q(this, "to_q", width, width, {.bias = false}),
      to_k(this, "to_k", context > 0 ? context : width, width, {.bias = false}),
      to_v(this, "to_v", context > 0 ? context : width, width, {.bias = false}),
      to_out(this, "to_out", width),
      heads_(checked_heads(width, heads)) {}

Tensor CrossAttention::operator()(const Tensor& x, const Tensor& context) const {
  const Tensor& c = context.defined() ? context : x;
  if (x.rank() != 3 || c.rank() != 3 || c.size(0) != x.size(0) || x.size(2) != to_q.weight.size(1) || c.size(2) != to_k.weight.size(1))
    throw ShapeError("cross_attention: takes x [B, T, " + std::to_string(to_q.weight.size(1)) + "] and context [B, S, " +
                     std::to_string(to_k.weight.size(1)) + "], got " + to_string(x.shape()) + " and " + to_string(c.shape()));
  Tensor y = scaled_dot_product_attention(split_heads(to_q(x), heads_), split_heads(to_k(c), heads_), split_heads(to_v(c), heads_));
  return to_out.linear(flatten(transpose(y, 1, 2), 2));
}

GegluFeedForward::GegluFeedForward(nn::Module* parent, std::string name, int64_t width)
    : Module(parent, std::move(name)), net(this, "net", width) {}

Tensor GegluFeedForward::operator()(const Tensor& x) const {
  Tensor both = net.up.proj(x);
  int64_t inner = both.size(-1) / 2;
  return net.down(narrow(both, -1, 0, inner) * gelu(narrow(both, -1, inner, inner)));
}

TransformerBlock::TransformerBlock(int64_t width, int64_t heads, int64_t context)
    : attn1(this, "attn1", width, heads),
      ff(this, "ff", width),
      attn2(this, "attn2", width, heads, context),
      norm1(this, "norm1", width),
      norm2(this, "norm2", width),
      norm3(this, "norm3", width) {}

Tensor TransformerBlock::operator()(const Tensor& input, const Tensor& context) const {
  Tensor x = input + attn1(norm1(input));
  x = x + attn2(norm2(x), context);
  return x + ff(norm3(x));
}

}  // namespace plumb::unet
