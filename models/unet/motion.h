// Motion: temporal attention that makes a video network of an image network (AnimateDiff, Guo et al. 2024; AnimateLCM, Wang et al. 2024).
#pragma once
#include "models/unet/unet.h"

namespace plumb::unet {

struct MotionConfig {
  int64_t heads = 8;
  int64_t groups = 32;               ///< of the group norm
  int64_t max_frames = 64;           ///< longest video
  int64_t blocks = 1;                ///< transformer blocks a module
  int64_t attention_layers = 2;      ///< of temporal attention, a block
  std::vector<int64_t> levels;       ///< whose stages get motion; empty: all
  bool middle = false;               ///< the middle too
  bool positions = true;             ///< frames know their place

  std::string to_json() const;
  static MotionConfig from_json(const std::string& json);
  /// Throws ConfigError naming the option that is out of range.
  void check() const;
};

/// [frames, width]: sin(f ω_i) at 2i, cos(f ω_i) at 2i + 1, ω_i = 10000^(−2i / width).
Tensor frame_positions(int64_t frames, int64_t width);

/// Attention among the frames of each place: x [N, F, width] → the same shape; positions are added to queries, keys and values alike.
struct TemporalAttention : CrossAttention {
  bool positions;
  TemporalAttention(int64_t width, const MotionConfig& config);
  Tensor operator()(const Tensor& x) const;
};

/// x + attention(norm(x)) for every attention layer, then x + ff(ff_norm(x)): x [N, F, width].
struct TemporalBlock : nn::Module {
  nn::ModuleList<TemporalAttention> attention_blocks;
  nn::ModuleList<nn::LayerNorm> norms;
  GegluFeedForward ff;
  nn::LayerNorm ff_norm;

  TemporalBlock(int64_t width, const MotionConfig& config);
  Tensor operator()(const Tensor& x) const;
};

/// x + proj_out(blocks(proj_in(norm(x)))) over time: x [B·F, C, H, W], the frames of a video one after the other. proj_out starts as 0, so
/// that a new module changes nothing.
struct MotionModule : nn::Module {
  nn::GroupNorm norm;
  nn::Linear proj_in;
  nn::ModuleList<TemporalBlock> transformer_blocks;
  nn::Linear proj_out;

  MotionModule(int64_t channels, const MotionConfig& config);
  Tensor operator()(const Tensor& x, int64_t frames) const;
};

/// A U-Net over images with motion modules after its stages. At the start it is the image network, frame by frame.
class VideoUnet : public nn::Module {
 public:
  /// A copy of `image` (trained or not) with new motion modules. Throws ConfigError for a config that does not fit its channels.
  VideoUnet(const Unet& image, const MotionConfig& config);

  /// x [B, C, F, H, W], t [B] → [B, out_channels, F, H, W]; conditions are per video: labels [B], context [B, S, ..], embedding [B, ..],
  /// self_condition of x's shape. Throws ShapeError for more frames than max_frames, else as Unet.
  Tensor operator()(const Tensor& x, const Tensor& t, const UnetInputs& inputs = {}) const;

  /// The parameters of motion alone, for training with the image network frozen: `video.image.requires_grad_(false)`.
  std::vector<Tensor> motion_parameters() const { return motion.parameters(); }
  const MotionConfig& config() const { return config_; }

 private:
  MotionConfig config_;

 public:
  Unet image;
  nn::ModuleList<MotionModule> motion;

 private:
  std::vector<int64_t> module_at_;  ///< for every stage its motion module, or −1
};

}  // namespace plumb::unet
