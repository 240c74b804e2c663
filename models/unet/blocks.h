// The parts of the diffusion U-Net: residual blocks under a time embedding, attention over places, and changes of resolution.
// Names are those of guided-diffusion (Dhariwal & Nichol 2021), and of latent diffusion (Rombach et al. 2022) for cross-attention.
#pragma once
#include <optional>

#include "models/nn/containers.h"
#include "models/nn/conv.h"
#include "models/nn/dropout.h"
#include "models/nn/linear.h"
#include "models/nn/norm.h"
#include "models/unet/transformer_block.h"
#include "models/unet/unet_config.h"
#include "ops/activated_norm.h"

namespace plumb::unet {

enum class Direction : uint8_t { none, down, up };

/// [B, C, H, W] → [B, C, H/2, W/2]: the mean of 2×2 places, or a convolution "op" of stride 2.
struct Downsample : nn::Module {
  std::optional<nn::Conv2d> op;
  Downsample(nn::Module* parent, std::string name, int64_t channels, bool convolution);
  Tensor operator()(const Tensor& x) const;
};

/// [B, C, H, W] → [B, C, 2H, 2W]: every place four times, then perhaps a convolution "conv".
struct Upsample : nn::Module {
  std::optional<nn::Conv2d> conv;
  Upsample(nn::Module* parent, std::string name, int64_t channels, bool convolution);
  Tensor operator()(const Tensor& x) const;
};

/// A group norm "0" and a 3×3 convolution under the name `place`, with silu (and dropout) between them.
struct NormConv : nn::Module {
  nn::GroupNorm norm;
  nn::Conv2d conv;
  NormConv(nn::Module* parent, std::string name, const UnetConfig& config, int64_t in, int64_t out, const char* place);
  /// silu(norm(x))
  Tensor activated(const Tensor& x) const { return group_norm_silu(x, groups_, norm.weight, norm.bias); }

 private:
  int64_t groups_;
};

/// skip(x) + conv(silu(norm(h) · (1 + scale) + shift)),  h = conv(silu(norm(x))),  [scale | shift] = emb_layers(e): x [B, in, H, W],
/// e = silu(embedding) [B, D] → [B, out, H, W]. Without config.scale_shift, h + emb_layers(e) is normalised instead. With a direction,
/// both x and silu(norm(x)) change their resolution first. The last convolution starts as 0 (config.zero_init): the block starts as
/// skip(x).
struct ResBlock : nn::Module {
  NormConv in_layers;
  nn::Linear& emb() { return emb_layers.linear; }
  NormConv out_layers;
  nn::Dropout dropout;
  std::optional<nn::Conv2d> skip_connection;  ///< 1×1, where the channels change

  ResBlock(nn::Module* parent, std::string name, const UnetConfig& config, int64_t in, int64_t out, Direction direction = Direction::none);
  Tensor operator()(const Tensor& x, const Tensor& activated_embedding) const;

 private:
  struct EmbLayers : nn::Module {
    nn::Linear linear;
    EmbLayers(nn::Module* parent, std::string name, int64_t in, int64_t out)
        : Module(parent, std::move(name)), linear(this, "1", in, out) {}
  } emb_layers;
  bool scale_shift_;
  Direction direction_;
};

/// x + proj_out(attention(qkv(norm(x)))) among all places: x [B, C, H, W]. The rows of qkv are heads of query, key and value each, one head
/// after the other.
struct AttentionBlock : nn::Module {
  nn::GroupNorm norm;
  nn::Conv1d qkv, proj_out;

  AttentionBlock(nn::Module* parent, std::string name, const UnetConfig& config, int64_t channels);
  Tensor operator()(const Tensor& x) const;

 private:
  int64_t heads_;
};

/// x + proj_out(blocks(proj_in(norm(x)), context)), the places as tokens that read `context` [B, S, config.context].
struct SpatialTransformer : nn::Module {
  nn::GroupNorm norm;
  nn::Conv2d proj_in;
  nn::ModuleList<TransformerBlock> transformer_blocks;
  nn::Conv2d proj_out;

  SpatialTransformer(nn::Module* parent, std::string name, const UnetConfig& config, int64_t channels);
  Tensor operator()(const Tensor& x, const Tensor& context) const;
};

}  // namespace plumb::unet
