// A block of a transformer that sees its whole sequence, normalised before each part.
#pragma once
#include "models/nn/attention.h"
#include "models/nn/feed_forward.h"
#include "models/nn/norm.h"

namespace plumb::transformer {

struct PreNormOptions {
  int64_t width = 64, heads = 4, inner = 256;
  nn::ActivationKind activation = nn::ActivationKind::gelu;
  bool gated = false;
  double dropout = 0;            ///< of what each part adds
  double attention_dropout = 0;  ///< of attention weights
  double norm_eps = 1e-5;
};

/// x ← x + attention(norm1(x)), then x ← x + mlp(norm2(x)).
struct PreNormBlock : nn::Module {
  nn::LayerNorm norm1;
  nn::MultiheadAttention attention;
  nn::Dropout dropout;
  nn::LayerNorm norm2;
  nn::FeedForward mlp;

  explicit PreNormBlock(const PreNormOptions& options);
  /// x [B, T, width]; mask: undefined, or broadcasting to [B, heads, T, T], true where a query may see a key.
  Tensor operator()(const Tensor& x, const Tensor& mask = {}) const;
};

}  // namespace plumb::transformer
