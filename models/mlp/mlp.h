// The multi-layer perceptron.
#pragma once
#include <string>
#include <vector>

#include "models/nn/containers.h"
#include "models/nn/dropout.h"
#include "models/nn/linear.h"
#include "models/nn/norm.h"

namespace plumb::mlp {

struct MlpConfig {
  int64_t inputs = 784;
  std::vector<int64_t> hidden{256, 256};  ///< widths of the hidden layers; may be empty
  int64_t outputs = 10;
  std::string activation = "relu";        ///< relu, gelu, silu or tanh
  bool norm = false;                      ///< layer norm before each activation
  double dropout = 0;                     ///< after each activation

  /// An object with these names. from_json takes missing ones from the defaults and throws ConfigError for values that make no model.
  std::string to_json() const;
  static MlpConfig from_json(const std::string& json);
  /// Throws ConfigError naming what is out of range.
  void check() const;
};

/// x [B, ..] with `inputs` numbers an example → [B, outputs]: layers.0, activation, layers.1, …; the last layer is linear.
class Mlp : public nn::Module {
 public:
  /// Layers start as nn::Linear does, with weights normal of variance 2 / inputs of the layer under relu. Throws as MlpConfig::check.
  explicit Mlp(const MlpConfig& config);
  /// Throws ShapeError for another number of inputs.
  Tensor operator()(const Tensor& x) const;
  const MlpConfig& config() const { return config_; }

 private:
  MlpConfig config_;
  nn::ModuleList<nn::Linear> layers_;
  nn::ModuleList<nn::LayerNorm> norms_;
  nn::Dropout dropout_;
};

}  // namespace plumb::mlp
