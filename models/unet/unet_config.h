// What a diffusion U-Net is made of.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace plumb::unet {

/// How the resolution changes between levels: by a convolution (stride 2 down; nearest ×2 and a convolution up), inside a residual block
/// of its own (the BigGAN form), or by pooling and repeating alone.
enum class Resample : uint8_t { convolution, block, pool };
/// What the decoder sees of the encoder: the output of every layer (DDPM, ADM), or that of every level's last block, once.
enum class Skips : uint8_t { every_layer, every_level };
enum class TimeKind : uint8_t { sinusoidal, fourier };

/// A level halves the resolution of the one before; level l has width · multipliers[l] channels.
struct UnetConfig {
  int64_t in_channels = 3;                        ///< of the image
  int64_t out_channels = 3;                       ///< of the prediction
  int64_t width = 64;                             ///< channels of the first level, before its multiplier
  std::vector<int64_t> multipliers{1, 2, 4};      ///< one a level
  int64_t blocks = 2;                             ///< residual blocks a level (the decoder has one more with Skips::every_layer)
  std::vector<int64_t> attention_levels{2};       ///< levels whose blocks are followed by attention; 0 is the full resolution
  bool middle_attention = true;
  int64_t heads = 1;                              ///< of attention
  int64_t head_width = 0;                         ///< channels a head; if given, it takes the place of `heads`
  int64_t groups = 32;                            ///< of group norms; must divide the channels of every level
  int64_t embedding = 0;                          ///< width of the time embedding; 0: 4 · width
  TimeKind time = TimeKind::sinusoidal;
  double time_scale = 1;                          ///< times are multiplied by it before they are embedded (1000 for times of size 1)
  bool scale_shift = true;  ///< the embedding scales and shifts the second norm of a block (ADM); else it is added (DDPM)
  Resample resample = Resample::convolution;
  Skips skips = Skips::every_layer;
  double dropout = 0;
  int64_t classes = 0;                            ///< 0: no class condition
  bool null_class = true;                         ///< one more class, label −1, that stands for none: for classifier-free guidance
  int64_t context = 0;                            ///< width of the tokens that cross-attention reads; 0: no cross-attention
  int64_t transformer_depth = 1;                  ///< transformer blocks a place of cross-attention
  bool self_condition = false;                    ///< the network also sees its own last estimate (Chen et al. 2023)
  bool zero_init = true;                          ///< the last convolution of blocks, attention and network starts as 0

  /// An object with these names. from_json takes missing ones from the defaults and throws ConfigError for values that make no model.
  std::string to_json() const;
  static UnetConfig from_json(const std::string& json);
  /// Throws ConfigError naming the option that is out of range.
  void check() const;

  int64_t levels() const { return static_cast<int64_t>(multipliers.size()); }
  int64_t channels(int64_t level) const { return width * multipliers[static_cast<size_t>(level)]; }
  int64_t embedding_width() const { return embedding > 0 ? embedding : 4 * width; }
  bool attends(int64_t level) const;
  /// Attention heads at so many channels.
  int64_t heads_of(int64_t channels) const { return head_width > 0 ? channels / head_width : heads; }
};

}  // namespace plumb::unet
