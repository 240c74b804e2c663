// WideResNet (Zagoruyko & Komodakis, BMVC 2016): few layers, many channels, norm and relu before each convolution.
#pragma once
#include <array>
#include <optional>
#include <string>

#include "models/nn/containers.h"
#include "models/nn/conv.h"
#include "models/nn/dropout.h"
#include "models/nn/linear.h"
#include "models/resnet/switchable_norm.h"

namespace plumb::resnet {

struct WideResNetConfig {
  int64_t depth = 16;          ///< 6n + 4 layers: n blocks in each of three stages
  int64_t widen = 2;           ///< k: stages of 16k, 32k and 64k channels
  double dropout = 0;          ///< between the convolutions of a block
  int64_t channels = 3;        ///< of the images
  int64_t classes = 10;
  std::string norm = "batch";  ///< batch, group, instance or none
  int64_t groups = 8;          ///< of group norm

  /// As ResNetConfig.
  std::string to_json() const;
  static WideResNetConfig from_json(const std::string& json);
  void check() const;
};

/// conv2(dropout(relu(bn2(conv1(a))))) + x with a = relu(bn1(x)); where the shape changes, the shortcut is a 1×1 convolution of a.
struct WideBlock : nn::Module {
  SwitchableNorm bn1;
  nn::Conv2d conv1;
  SwitchableNorm bn2;
  nn::Dropout dropout;
  nn::Conv2d conv2;
  std::optional<nn::Conv2d> shortcut;

  WideBlock(const WideResNetConfig& config, int64_t in, int64_t out, int64_t stride);
  Tensor operator()(const Tensor& x) const;
};

class WideResNet : public nn::Module {
 public:
  /// Convolutions start normal with variance 2 / fan_out, norms as 1 and 0, biases as 0. Throws as WideResNetConfig::check.
  explicit WideResNet(const WideResNetConfig& config);
  /// images [B, channels, H, W] → logits [B, classes].
  Tensor operator()(const Tensor& images) const;
  /// What fc reads, [B, 64k].
  Tensor features(const Tensor& images) const;
  /// features [B, 64k] → logits [B, classes].
  Tensor head(const Tensor& features) const { return fc_(features); }
  const WideResNetConfig& config() const { return config_; }

  bool recompute = false;  ///< in training, each block keeps its input only and runs again for its gradient

 private:
  WideResNetConfig config_;
  nn::Conv2d conv1_;
  std::array<nn::ModuleList<WideBlock>, 3> stages_;
  SwitchableNorm bn1_;
  nn::Linear fc_;
};

}  // namespace plumb::resnet
