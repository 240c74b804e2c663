// Fully connected layers that can be called one by one: the small classifier of experiments that mix hidden values or share a trunk.
#pragma once
#include <vector>

#include "models/nn/containers.h"
#include "models/nn/linear.h"

namespace plumb::methods {

struct StagedMlpConfig {
  int64_t inputs = 64;
  std::vector<int64_t> hidden{128, 128};  ///< at least one; the last is the number of features
  int64_t classes = 10;
  double head_std = 0;  ///< the head's weights start as N(0, head_std²) and its bias as 0; 0: as nn::Linear does

  /// Throws ConfigError naming what is out of range.
  void check() const;
};

/// x [B, ..] with `inputs` numbers an example → relu layers → linear head [B, classes]. Weights of the layers start normal with variance
/// 2 / inputs of the layer.
struct StagedMlp : nn::Module {
  nn::ModuleList<nn::Linear> layers{this, "layers"};
  nn::Linear head;

  explicit StagedMlp(const StagedMlpConfig& config = {});
  size_t stage_count() const { return layers.size(); }
  /// relu(layer k); the first flattens its examples.
  Tensor stage(size_t k, const Tensor& x) const;
  /// What the head reads: [B, features].
  Tensor features(const Tensor& x) const;
  Tensor operator()(const Tensor& x) const { return head(features(x)); }
};

}  // namespace plumb::methods
