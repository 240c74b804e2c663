// The vision transformer (Dosovitskiy et al., ICLR 2021): an image as a sequence of patches.
#pragma once
#include <string>

#include "models/nn/containers.h"
#include "models/nn/patch_embedding.h"
#include "models/transformer/pre_norm_block.h"

namespace plumb::nn {
struct AttentionPrefix;  // models/nn/prefix.h
}

namespace plumb::transformer {

struct VisionConfig {
  int64_t image_height = 32, image_width = 32;  ///< of the images
  int64_t channels = 3;
  int64_t patch = 4;        ///< side of a patch; must divide the sides of the image
  int64_t classes = 10;
  int64_t layers = 6;
  int64_t heads = 4;        ///< width must be a multiple
  int64_t width = 128;      ///< of the residual stream
  int64_t inner = 512;      ///< width inside the feed-forward networks
  double dropout = 0, attention_dropout = 0;
  double norm_eps = 1e-12;
  std::string activation = "gelu";
  std::string pooling = "first";  ///< what the classifier sees: the class token ("first") or the mean of the patches ("mean")

  /// An object with these names. from_json takes missing ones from the defaults and throws ConfigError for values that make no model.
  std::string to_json() const;
  static VisionConfig from_json(const std::string& json);
  /// Throws ConfigError naming the option that is out of range.
  void check() const;
};

class VisionTransformer : public nn::Module {
 public:
  /// Weights drawn from the default generator as draw_weights does, with the deviation for the width; the classifier starts as 0, so that
  /// all classes are equally likely. Throws ConfigError as VisionConfig::check.
  explicit VisionTransformer(const VisionConfig& config);

  /// images [B, channels, height, width] → logits [B, classes]. Throws ShapeError for other images.
  Tensor operator()(const Tensor& images) const;
  /// → normalised states of the class token and the patches [B, 1 + patches, width].
  Tensor hidden(const Tensor& images) const;
  /// The same with prefixes in front of keys and values, block by block (prefix tuning); without any it is hidden(images). Throws
  /// ValueError for more of them than blocks.
  Tensor hidden(const Tensor& images, const std::vector<nn::AttentionPrefix>& prefixes) const;
  const VisionConfig& config() const { return config_; }

  bool recompute = false;  ///< in training, each block keeps its input only and runs again for its gradient

 private:
  VisionConfig config_;
  nn::PatchEmbedding patches_;
  nn::Parameter class_token_, positions_;
  nn::Dropout dropout_;
  nn::ModuleList<PreNormBlock> blocks_;
  nn::LayerNorm norm_;
  nn::Linear classifier_;
};

}  // namespace plumb::transformer
