// A small style-based GAN: StyleGAN2 (Karras et al., CVPR 2020) with skip outputs in the generator and residual blocks in the
// discriminator.
#pragma once
#include <array>
#include <optional>
#include <string>

#include "models/gan/gan.h"
#include "models/gan/style_layers.h"
#include "models/nn/containers.h"

namespace plumb::gan {

struct StyleConfig {
  int64_t channels = 1;            ///< of the images
  int64_t side = 28;               ///< of the images; as ImageSide
  int64_t width = 32;              ///< channels at full size; doubled with every halving
  int64_t widest = 128;            ///< but never more than these
  int64_t latent = 64;             ///< random numbers an image is made of
  int64_t style = 64;              ///< width of w, which they are mapped to
  int64_t mapping_layers = 4;
  double mapping_rate = 0.01;      ///< learning rate of the mapping, times that of the rest
  double mixing = 0.9;             ///< share of training batches whose later layers follow a second style
  int64_t deviation_group = 4;     ///< examples whose differences the discriminator sees

  /// An object with these names. from_json takes missing ones from the defaults and throws ConfigError for values that make no model.
  std::string to_json() const;
  static StyleConfig from_json(const std::string& json);
  /// Throws ConfigError naming what is out of range.
  void check() const;
};

/// z, scaled to mean square 1, through equalised layers with leaky relu → w [B, style].
class StyleMapping : public nn::Module {
 public:
  StyleMapping(nn::Module* parent, std::string name, const StyleConfig& config);
  /// In training mode, w's running mean moves by half a hundredth towards the batch's.
  Tensor operator()(const Tensor& z) const;

  nn::Buffer w_avg;  ///< [style], the running mean of w

 private:
  static constexpr int64_t kMostLayers = 8;
  std::array<std::optional<EqualizedLinear>, kMostLayers> layers_;  // "fc0", "fc1", …
};

/// Two style layers that grow the image (or one on a learned constant), and the image they add to what came before, which is grown too.
class SynthesisBlock : public nn::Module {
 public:
  /// in 0: the first block.
  SynthesisBlock(int64_t in, int64_t out, int64_t side, const StyleConfig& config);
  /// `w` gives the style of layer i. x and image are undefined for the first block, and replaced.
  template <typename Styles>
  void operator()(Tensor& x, Tensor& image, Styles&& w, Generator* random) const;
  int64_t style_layers() const { return conv0 ? 2 : 1; }

  nn::Parameter constant;  ///< "const", of the first block
  std::optional<StyleLayer> conv0;
  StyleLayer conv1;
  ToRgb torgb;
};

class StyleGenerator : public nn::Module {
 public:
  explicit StyleGenerator(const StyleConfig& config);
  StyleGenerator(nn::Module* parent, std::string name, const StyleConfig& config) : StyleGenerator(config) {
    join(parent, std::move(name));
  }
  /// Styles that the layers of the synthesis take, the last output's included.
  int64_t layers() const { return synthesis.layers; }
  /// w [B, layers(), style] → images; noise from `random`, or constant.
  Tensor synthesize(const Tensor& w, Generator* random) const;

  StyleMapping mapping;

 private:
  static constexpr int64_t kMostBlocks = 8;
  struct Synthesis : nn::Module {
    std::array<std::optional<SynthesisBlock>, kMostBlocks> blocks;  // "b7", "b14", …: by the side of the image
    int64_t layers = 0;
    Synthesis(nn::Module* parent, std::string name, const StyleConfig& config);
  } synthesis;
};

class StyleDiscriminator : public nn::Module {
 public:
  explicit StyleDiscriminator(const StyleConfig& config);
  StyleDiscriminator(nn::Module* parent, std::string name, const StyleConfig& config) : StyleDiscriminator(config) {
    join(parent, std::move(name));
  }
  /// images [B, channels, side, side] → logits [B]. Throws ShapeError for others.
  Tensor operator()(const Tensor& images) const;

 private:
  /// skip(x)/√2 + conv1(conv0(x))/√2 at half the size.
  struct Block : nn::Module {
    std::optional<EqualizedConv> fromrgb;
    EqualizedConv conv0, conv1, skip;
    Block(int64_t in, int64_t out, int64_t channels, bool first);
    Tensor operator()(const Tensor& x) const;
  };
  struct Last : nn::Module {
    EqualizedConv conv;
    EqualizedLinear fc, out;
    Last(int64_t width, int64_t side);
  };
  StyleConfig config_;
  std::array<std::optional<Block>, 8> blocks_;  // "b28", "b14"
  std::optional<Last> last_;                    // "b7"
};

/// Both, under "generator" and "discriminator".
class StyleGan : public Gan {
 public:
  /// Throws ConfigError as StyleConfig::check.
  explicit StyleGan(const StyleConfig& config);
  int64_t latent() const override { return config_.latent; }
  /// In training mode some batches mix two styles; in evaluation mode w is drawn towards its mean: w_avg + truncation (w − w_avg).
  /// Throws ShapeError unless z is [B, latent].
  Tensor styles(const Tensor& z, Generator& random) const override;
  Tensor synthesize(const Tensor& styles, Generator& random) const override { return generator_.synthesize(styles, &random); }
  Tensor judge(const Tensor& images) const override { return discriminator_(images); }
  nn::Module& generator() override { return generator_; }
  nn::Module& discriminator() override { return discriminator_; }
  const StyleConfig& config() const { return config_; }

  double truncation = 1;  ///< ψ of evaluation mode; below 1: more typical and less varied images

 private:
  StyleConfig config_;
  StyleGenerator generator_;
  StyleDiscriminator discriminator_;
};

}  // namespace plumb::gan
