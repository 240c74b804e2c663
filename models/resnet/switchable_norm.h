// Normalisation of image features that a configuration chooses.
#pragma once
#include <optional>
#include <string>

#include "models/nn/norm.h"

namespace plumb::resnet {

/// "batch", "group", "instance" (with weight and bias) or "none". Registers the chosen layer under the name itself ("bn1.weight"), so it is
/// no module of its own but a part of one: a member of the module that owns it.
class SwitchableNorm {
 public:
  SwitchableNorm() = default;
  /// Throws ValueError for another kind, or groups that do not divide the channels.
  SwitchableNorm(nn::Module* owner, const std::string& name, const std::string& kind, int64_t channels, int64_t groups) {
    choose(owner, name, kind, channels, groups);
  }
  /// The same later: what is registered must already stand in its place.
  void choose(nn::Module* owner, const std::string& name, const std::string& kind, int64_t channels, int64_t groups);
  Tensor operator()(const Tensor& x) const;
  /// The learned scale; undefined for "none".
  Tensor weight() const;

 private:
  std::optional<nn::BatchNorm> batch_;
  std::optional<nn::GroupNorm> group_;
  std::optional<nn::InstanceNorm> instance_;
};

}  // namespace plumb::resnet
