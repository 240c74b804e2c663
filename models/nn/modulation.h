// Layers that a condition scales and shifts: FiLM, and norms whose weight and bias come from it.
#pragma once
#include "models/nn/linear.h"
#include "models/nn/norm.h"

namespace plumb::nn {

/// x · (1 + scale) + shift, one number a channel: x [n, C, ..], scale and shift [n, C]; or x [n, T.., C] with `last`, where channels are
/// the last dimension. Throws ShapeError if they do not fit.
Tensor film(const Tensor& x, const Tensor& scale, const Tensor& shift, bool last = false);

struct ModulationOptions {
  double eps = 1e-5;
  bool zero = true;  ///< the projection starts as 0: scale 0 and shift 0, as if there were no condition
  DType dtype = f32;
  Device device = {};
};

/// film(x, scale, shift) with [scale | shift] = projection(condition): x [n, C, ..], condition [n, D] (Perez et al. 2018).
class FiLM : public Module {
 public:
  FiLM(int64_t condition, int64_t channels, ModulationOptions options = {});
  FiLM(Module* parent, std::string name, int64_t condition, int64_t channels, ModulationOptions options = {})
      : FiLM(condition, channels, options) {
    join(parent, std::move(name));
  }
  Tensor operator()(const Tensor& x, const Tensor& condition) const;

  Linear projection;
};

/// film(group_norm(x), scale, shift) with the norm's own weight and bias inside: adaptive group normalisation (Dhariwal & Nichol 2021).
class AdaptiveGroupNorm : public Module {
 public:
  AdaptiveGroupNorm(int64_t condition, int64_t groups, int64_t channels, ModulationOptions options = {});
  AdaptiveGroupNorm(Module* parent, std::string name, int64_t condition, int64_t groups, int64_t channels, ModulationOptions options = {})
      : AdaptiveGroupNorm(condition, groups, channels, options) {
    join(parent, std::move(name));
  }
  Tensor operator()(const Tensor& x, const Tensor& condition) const;

  GroupNorm norm;
  Linear projection;
};

/// film(layer_norm(x), scale, shift) over the last dimension, the norm without weights: x [n, T.., C] (adaLN; Peebles & Xie 2023).
class AdaptiveLayerNorm : public Module {
 public:
  AdaptiveLayerNorm(int64_t condition, int64_t channels, ModulationOptions options = {});
  AdaptiveLayerNorm(Module* parent, std::string name, int64_t condition, int64_t channels, ModulationOptions options = {})
      : AdaptiveLayerNorm(condition, channels, options) {
    join(parent, std::move(name));
  }
  Tensor operator()(const Tensor& x, const Tensor& condition) const;

  LayerNorm norm;
  Linear projection;
};

}  // namespace plumb::nn
