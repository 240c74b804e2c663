// The convolutional encoder and decoder of autoencoders, with the form and the names of those of latent diffusion (Rombach et al. 2022).
#pragma once
#include <optional>
#include <string>

#include "models/autoencoder/autoencoder_config.h"
#include "models/nn/containers.h"
#include "models/nn/conv.h"
#include "models/nn/dropout.h"
#include "models/nn/norm.h"

namespace plumb::autoencoder {

/// shortcut(x) + conv2(dropout(silu(norm2(conv1(silu(norm1(x))))))): [B, in, H, W] → [B, out, H, W].
struct ResidualBlock : nn::Module {
  nn::GroupNorm norm1;
  nn::Conv2d conv1;
  nn::GroupNorm norm2;
  nn::Dropout dropout;
  nn::Conv2d conv2;
  std::optional<nn::Conv2d> nin_shortcut;  ///< 1×1, where the channels change

  ResidualBlock(const AutoencoderConfig& config, int64_t in, int64_t out);
  ResidualBlock(nn::Module* parent, std::string name, const AutoencoderConfig& config, int64_t in, int64_t out)
      : ResidualBlock(config, in, out) {
    join(parent, std::move(name));
  }
  Tensor operator()(const Tensor& x) const;
};

/// x + proj_out(attention of one head among all places of norm(x)).
struct AttentionBlock : nn::Module {
  nn::GroupNorm norm;
  nn::Conv2d q, k, v, proj_out;

  AttentionBlock(nn::Module* parent, std::string name, const AutoencoderConfig& config, int64_t channels);
  Tensor operator()(const Tensor& x) const;
};

/// A residual block, attention (config.attention), and another block.
struct Middle : nn::Module {
  ResidualBlock block_1;
  std::optional<AttentionBlock> attn_1;
  ResidualBlock block_2;

  Middle(nn::Module* parent, std::string name, const AutoencoderConfig& config, int64_t channels);
  Tensor operator()(const Tensor& x) const;
};

/// Under the name "conv": a 3×3 convolution of stride 2, with zeros below and to the right; or, for the way up, of every place four times.
struct Resampling : nn::Module {
  nn::Conv2d conv;

  Resampling(nn::Module* parent, std::string name, int64_t channels, bool down);
  Tensor operator()(const Tensor& x) const;

 private:
  bool down_;
};

/// Residual blocks of one resolution, and the change to the next.
struct Level : nn::Module {
  nn::ModuleList<ResidualBlock> block{this, "block"};
  std::optional<Resampling> downsample, upsample;

  Tensor operator()(const Tensor& x) const;
};

/// [B, channels, side, side] → [B, out, h, w]: conv_in, levels "down.0" … each of config.blocks and a halving, the middle, norm_out,
/// conv_out.
class Encoder : public nn::Module {
 public:
  Encoder(nn::Module* parent, std::string name, const AutoencoderConfig& config, int64_t out);
  Tensor operator()(const Tensor& images) const;

 private:
  nn::Conv2d conv_in_;
  nn::ModuleList<Level> down_;
  Middle mid_;
  nn::GroupNorm norm_out_;
  nn::Conv2d conv_out_;
};

/// [B, in, h, w] → [B, channels, side, side]: the encoder's mirror, with a block more a level; "up.0" is the full resolution.
class Decoder : public nn::Module {
 public:
  Decoder(nn::Module* parent, std::string name, const AutoencoderConfig& config, int64_t in);
  Tensor operator()(const Tensor& latents) const;

 private:
  nn::Conv2d conv_in_;
  Middle mid_;
  nn::ModuleList<Level> up_;
  nn::GroupNorm norm_out_;
  nn::Conv2d conv_out_;
};

}  // namespace plumb::autoencoder
