// A small transformer of videos for flow matching, built as the large ones are: blocks under one shared modulation by time and condition
// (Peebles & Xie 2023; the tables of blocks as in Wan), and a head with a modulated norm.
#pragma once
#include "models/nn/containers.h"
#include "models/nn/embedding.h"
#include "models/nn/feed_forward.h"
#include "models/nn/modulation.h"
#include "models/unet/transformer_block.h"

namespace plumb::diffusion {

struct VideoTransformerConfig {
  int64_t channels = 1, frames = 6, side = 8;
  int64_t patch = 8;  ///< a token is a square of so many pixels of one frame; the side: a frame is a token
  int64_t width = 64, heads = 4, blocks = 4, inner = 128;
  int64_t classes = 10;   ///< one more, label −1, stands for none
  double data_std = 0.5;  ///< of the data, for the part of the velocity that needs no network
  /// Throws ValueError naming what is out of range.
  void check() const;
  int64_t tokens() const { return frames * (side / patch) * (side / patch); }
  int64_t token_features() const { return channels * patch * patch; }
};

/// From σ [B] and labels i64 [B]: an embedding [B, width] (activated), and six vectors [B, 6, width] that modulate every block.
struct VideoEmbedder : nn::Module {
  nn::Linear in, out, modulation;
  nn::Embedding label;
  struct Result {
    Tensor embedding, modulation;
  };
  VideoEmbedder(nn::Module* parent, std::string name, const VideoTransformerConfig& config);
  Result operator()(const Tensor& sigma, const Tensor& labels) const;
};

/// h + g₁ attention(film(norm(h), s₁, b₁)), then + g₂ ff(film(norm(h), s₂, b₂)); [b₁ s₁ g₁ b₂ s₂ g₂] = modulation + the block's own table.
struct VideoBlock : nn::Module {
  nn::Parameter table;
  unet::CrossAttention attention;
  nn::FeedForward ff;
  explicit VideoBlock(const VideoTransformerConfig& config);
  Tensor operator()(const Tensor& h, const Tensor& modulation) const;
};

/// out(film(norm(h))): [B, T, width] → [B, T, token features]; `out` starts as 0.
struct VideoHead : nn::Module {
  nn::AdaptiveLayerNorm norm;
  nn::Linear out;
  VideoHead(nn::Module* parent, std::string name, const VideoTransformerConfig& config);
  Tensor operator()(const Tensor& h, const Tensor& embedding) const { return out(norm(h, embedding)); }
};

/// v(x, σ, c) = a(σ) x + F(x, σ, c), a(σ) = (σ − (1−σ) s²)/((1−σ)² s² + σ²): what is linear in x of the best estimate of e − x₀ for data of
/// deviation s and mean 0; F is the transformer.
class VideoTransformer : public nn::Module {
 public:
  explicit VideoTransformer(const VideoTransformerConfig& config);

  /// x [B, C, F, H, W], σ [B], labels i64 [B] or undefined (none) → x's shape. Throws ShapeError for another shape.
  Tensor operator()(const Tensor& x, const Tensor& sigma, const Tensor& labels = {}) const {
    return forward(x, sigma, labels, embedder, head);
  }
  /// The same with another embedder and head, which must be of this configuration.
  Tensor forward(const Tensor& x, const Tensor& sigma, const Tensor& labels, const VideoEmbedder& with_embedder,
                 const VideoHead& with_head) const;

  /// What the network sees on its way: the tokens [B, T, width] after blocks 0, 2, 4, …, and the head's answer to each of them (an early
  /// exit), [B, T, token features].
  struct Features {
    std::vector<Tensor> hidden, exits;
  };
  Features features(const Tensor& x, const Tensor& sigma, const Tensor& labels = {}) const;
  int64_t taps() const { return (config_.blocks + 1) / 2; }

  const VideoTransformerConfig& config() const { return config_; }

 private:
  Tensor tokens_of(const Tensor& x) const;
  Tensor video_of(const Tensor& tokens) const;
  Tensor labels_or_none(const Tensor& labels, const Tensor& x) const;

  VideoTransformerConfig config_;
  nn::Linear patch_in_;
  nn::Parameter positions_;
  nn::ModuleList<VideoBlock> blocks_;

 public:
  VideoEmbedder embedder;
  VideoHead head;
};

}  // namespace plumb::diffusion
