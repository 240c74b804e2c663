// Encoder and decoder, forward.
#include "models/autoencoder/coder.h"

#include <algorithm>

#include "ops/activation.h"
#include "ops/attention.h"
#include "ops/pad.h"
#include "ops/pointwise.h"
#include "ops/shape.h"
#include "ops/vision.h"

namespace plumb::autoencoder {
namespace {

constexpr nn::ChannelNormOptions kNorm{.eps = 1e-6};

}  // namespace

ResidualBlock::ResidualBlock(const AutoencoderConfig& c, int64_t in, int64_t out)
    : norm1(this, "norm1", c.groups, in, kNorm),
      conv1(this, "conv1", in, out, 3, {.padding = 1}),
      norm2(this, "norm2", c.groups, out, kNorm),
      dropout(this, "dropout", c.dropout),
      conv2(this, "conv2", out, out, 3, {.padding = 1}) {
  if (in != out) nin_shortcut.emplace(this, "nin_shortcut", in, out, 1);
}

Tensor ResidualBlock::operator()(const Tensor& x) const {
  Tensor y = conv2(dropout(silu(norm2(conv1(silu(norm1(x)))))));
  return (nin_shortcut ? (*nin_shortcut)(x) : x) + y;
}

AttentionBlock::AttentionBlock(nn::Module* parent, std::string name, const AutoencoderConfig& c, int64_t channels)
    : Module(parent, std::move(name)),
      norm(this, "norm", c.groups, channels, kNorm),
      q(this, "q", channels, channels, 1),
      k(this, "k", channels, channels, 1),
      v(this, "v", channels, channels, 1),
      proj_out(this, "proj_out", channels, channels, 1) {}

Tensor AttentionBlock::operator()(const Tensor& x) const {
  Tensor h = norm(x);
  auto tokens = [&](const nn::Conv2d& layer) { return unsqueeze(mT(flatten(layer(h), 2)), 1); };  // [B, 1, places, C]
  Tensor y = scaled_dot_product_attention(tokens(q), tokens(k), tokens(v));
  return x + proj_out(reshape(mT(squeeze(y, 1)), x.shape()));
}

Middle::Middle(nn::Module* parent, std::string name, const AutoencoderConfig& c, int64_t channels)
    : Module(parent, std::move(name)), block_1(this, "block_1", c, channels, channels), block_2(this, "block_2", c, channels, channels) {
  if (c.attention) attn_1.emplace(this, "attn_1", c, channels);
}

Tensor Middle::operator()(const Tensor& x) const {
  Tensor y = block_1(x);
  return block_2(attn_1 ? (*attn_1)(y) : y);
}

Resampling::Resampling(nn::Module* parent, std::string name, int64_t channels, bool down)
    : Module(parent, std::move(name)), conv(this, "conv", channels, channels, 3, {.stride = down ? 2 : 1, .padding = down ? 0 : 1}),
      down_(down) {}

Tensor Resampling::operator()(const Tensor& x) const { return conv(down_ ? pad(x, {0, 1, 0, 1}) : interpolate(x, {.scale = 2})); }

Tensor Level::operator()(const Tensor& input) const {
  Tensor x = input;
  for (const ResidualBlock& b : block) x = b(x);
  if (downsample) return (*downsample)(x);
  return upsample ? (*upsample)(x) : x;
}

Encoder::Encoder(nn::Module* parent, std::string name, const AutoencoderConfig& c, int64_t out)
    : Module(parent, std::move(name)),
      conv_in_(this, "conv_in", c.channels, c.width, 3, {.padding = 1}),
      down_(this, "down"),
      mid_(this, "mid", c, c.channels_at(c.levels() - 1)),
      norm_out_(this, "norm_out", c.groups, c.channels_at(c.levels() - 1), kNorm),
      conv_out_(this, "conv_out", c.channels_at(c.levels() - 1), out, 3, {.padding = 1}) {
  int64_t channels = c.width;
  for (int64_t l = 0; l < c.levels(); ++l) {
    Level& level = down_.emplace_back();
    for (int64_t i = 0; i < c.blocks; ++i, channels = c.channels_at(l)) level.block.emplace_back(c, channels, c.channels_at(l));
    if (l < c.levels() - 1) level.downsample.emplace(&level, "downsample", channels, true);
  }
}

Tensor Encoder::operator()(const Tensor& images) const {
  Tensor x = conv_in_(images);
  for (const Level& level : down_) x = level(x);
  return conv_out_(silu(norm_out_(mid_(x))));
}

Decoder::Decoder(nn::Module* parent, std::string name, const AutoencoderConfig& c, int64_t in)
    : Module(parent, std::move(name)),
      conv_in_(this, "conv_in", in, c.channels_at(c.levels() - 1), 3, {.padding = 1}),
      mid_(this, "mid", c, c.channels_at(c.levels() - 1)),
      up_(this, "up"),
      norm_out_(this, "norm_out", c.groups, c.channels_at(0), kNorm),
      conv_out_(this, "conv_out", c.channels_at(0), c.channels, 3, {.padding = 1}) {
  for (int64_t l = 0; l < c.levels(); ++l) {
    Level& level = up_.emplace_back();
    int64_t channels = c.channels_at(std::min(l + 1, c.levels() - 1));  // of the level below
    for (int64_t i = 0; i <= c.blocks; ++i, channels = c.channels_at(l)) level.block.emplace_back(c, channels, c.channels_at(l));
    if (l > 0) level.upsample.emplace(&level, "upsample", channels, false);
  }
}

Tensor Decoder::operator()(const Tensor& latents) const {
  Tensor x = mid_(conv_in_(latents));
  for (size_t l = up_.size(); l-- > 0;) x = up_[l](x);
  return conv_out_(silu(norm_out_(x)));
}

}  // namespace plumb::autoencoder
