// Attention and feed-forward parts of latent-diffusion transformers, under the names of those checkpoints (Rombach et al. 2022).
#pragma once
#include <optional>

#include "models/nn/containers.h"
#include "models/nn/linear.h"
#include "models/nn/norm.h"

namespace plumb::unet {

/// to_out.0(attention(to_q(x), to_k(c), to_v(c))): x [B, T, width], c [B, S, context] (x itself if undefined) → [B, T, width].
/// Queries, keys and values have no bias. Throws ValueError unless the heads divide the width, ShapeError for other shapes.
struct CrossAttention : nn::Module {
  nn::Linear to_q, to_k, to_v;

  CrossAttention(nn::Module* parent, std::string name, int64_t width, int64_t heads, int64_t context = 0);
  Tensor operator()(const Tensor& x, const Tensor& context = {}) const;
  /// The last projection, for those who start it as 0.
  nn::Linear& out() { return to_out.linear; }

 private:
  struct Out : nn::Module {
    nn::Linear linear;
    Out(nn::Module* parent, std::string name, int64_t width) : Module(parent, std::move(name)), linear(this, "0", width, width) {}
  } to_out;
  int64_t heads_;
};

/// net.2(a ⊙ gelu(g)) with [a | g] = net.0.proj(x), four times as wide inside (GEGLU, Shazeer 2020).
struct GegluFeedForward : nn::Module {
  GegluFeedForward(nn::Module* parent, std::string name, int64_t width);
  Tensor operator()(const Tensor& x) const;

 private:
  struct Up : nn::Module {
    nn::Linear proj;
    Up(nn::Module* parent, std::string name, int64_t width) : Module(parent, std::move(name)), proj(this, "proj", width, 8 * width) {}
  };
  struct Net : nn::Module {
    Up up;
    nn::Linear down;
    Net(nn::Module* parent, std::string name, int64_t width)
        : Module(parent, std::move(name)), up(this, "0", width), down(this, "2", 4 * width, width) {}
  } net;
};

/// x + attn1(norm1(x)), then + attn2(norm2(x), context), then + ff(norm3(x)).
struct TransformerBlock : nn::Module {
  CrossAttention attn1;
  GegluFeedForward ff;
  CrossAttention attn2;
  nn::LayerNorm norm1, norm2, norm3;

  TransformerBlock(int64_t width, int64_t heads, int64_t context);
  Tensor operator()(const Tensor& x, const Tensor& context) const;
};

}  // namespace plumb::unet
