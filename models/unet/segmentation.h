// The segmentation U-Net (Ronneberger et al. 2015): an encoder and a decoder of double convolutions with skips, a class for every pixel.
#pragma once
#include <array>
#include <optional>

#include "models/nn/containers.h"
#include "models/nn/conv.h"
#include "models/nn/norm.h"

namespace plumb::unet {

struct SegmentationConfig {
  int64_t in_channels = 3;
  int64_t classes = 2;      ///< logits a pixel, the background among them
  int64_t width = 64;       ///< channels of the first level; every further level has twice as many
  int64_t depth = 4;        ///< how often the resolution is halved, 1 to 6
  bool bilinear = false;    ///< decoder: bilinear ×2 (and half the channels in the deepest level) instead of transposed convolutions

  std::string to_json() const;
  static SegmentationConfig from_json(const std::string& json);
  /// Throws ConfigError naming the option that is out of range.
  void check() const;
};

/// relu(norm(conv(relu(norm(conv(x)))))), both 3×3 with padding and without bias, batch norms: layers 0, 1, 3 and 4 of "double_conv".
struct DoubleConv : nn::Module {
  DoubleConv(nn::Module* parent, std::string name, int64_t in, int64_t out, int64_t middle = 0);
  Tensor operator()(const Tensor& x) const;

 private:
  struct Layers : nn::Module {
    nn::Conv2d conv1;
    nn::BatchNorm norm1;
    nn::Conv2d conv2;
    nn::BatchNorm norm2;
    Layers(nn::Module* parent, std::string name, int64_t in, int64_t out, int64_t middle);
  } layers_;
};

struct SegmentationMaps {
  Tensor logits;   ///< [B, classes, H, W]
  Tensor deepest;  ///< [B, C, H / 2^depth, W / 2^depth], C = width · 2^depth (half as many if bilinear)
};

/// Logits for every pixel. Names are those of the widely used PyTorch port (milesial/Pytorch-UNet: inc, down1 …, up1 …, outc), which keeps
/// the size of the image by padding and normalises by batch; layers start as U(−1/√fan_in, 1/√fan_in).
class SegmentationUnet : public nn::Module {
 public:
  /// Throws ConfigError as SegmentationConfig::check.
  explicit SegmentationUnet(const SegmentationConfig& config);
  /// x [B, in_channels, H, W] → logits [B, classes, H, W], of any size of at least 2^depth: maps that were rounded down on the way are
  /// padded with zeros on the way back. Throws ShapeError for others.
  Tensor operator()(const Tensor& x) const { return maps(x).logits; }
  /// The logits, and the encoder's deepest map.
  SegmentationMaps maps(const Tensor& x) const;
  const SegmentationConfig& config() const { return config_; }

 private:
  static constexpr int kMaxDepth = 6;
  struct Down : nn::Module {
    struct Pooled : nn::Module {
      DoubleConv conv;
      Pooled(nn::Module* parent, std::string name, int64_t in, int64_t out) : Module(parent, std::move(name)), conv(this, "1", in, out) {}
    } maxpool_conv;
    Down(nn::Module* parent, std::string name, int64_t in, int64_t out)
        : Module(parent, std::move(name)), maxpool_conv(this, "maxpool_conv", in, out) {}
    Tensor operator()(const Tensor& x) const;
  };
  struct Up : nn::Module {
    std::optional<nn::ConvTranspose2d> up;
    DoubleConv conv;
    Up(nn::Module* parent, std::string name, int64_t in, int64_t out, bool bilinear);
    Tensor operator()(const Tensor& x, const Tensor& skip) const;
  };
  struct Out : nn::Module {
    nn::Conv2d conv;
    Out(nn::Module* parent, std::string name, int64_t in, int64_t out) : Module(parent, std::move(name)), conv(this, "conv", in, out, 1) {}
  };

  SegmentationConfig config_;
  DoubleConv inc_;
  std::array<std::optional<Down>, kMaxDepth> down_;
  std::array<std::optional<Up>, kMaxDepth> up_;
  Out outc_;
};

/// Intersection over union of every class, [classes], f64: pixels where both say the class, divided by those where either does, over the
/// whole batch; NaN for a class that neither has. prediction and target i64 of one shape. Throws ShapeError, IndexError for a class
/// outside [0, classes).
Tensor intersection_over_union(const Tensor& prediction, const Tensor& target, int64_t classes);

}  // namespace plumb::unet
