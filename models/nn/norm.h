// Normalisation layers.
#pragma once
#include "models/nn/module.h"

namespace plumb::nn {

struct LayerNormOptions {
  double eps = 1e-5;
  bool affine = true;  ///< a learned weight
  bool bias = true;    ///< and a learned bias (only with affine)
  DType dtype = f32;
  Device device = {};
};

/// layer_norm over the last dimensions, whose sizes are `shape`; weight starts as 1, bias as 0.
class LayerNorm : public Module {
 public:
  explicit LayerNorm(Shape shape, LayerNormOptions options = {});
  LayerNorm(Module* parent, std::string name, Shape shape, LayerNormOptions options = {}) : LayerNorm(shape, options) { join(parent, std::move(name)); }
  LayerNorm(Module* parent, std::string name, int64_t width, LayerNormOptions options = {}) : LayerNorm(parent, std::move(name), Shape{width}, options) {}
  Tensor operator()(const Tensor& x) const;

  Parameter weight, bias;

 private:
  Shape shape_;
  double eps_;
};

struct RmsNormOptions {
  double eps = 1e-6;
  DType dtype = f32;
  Device device = {};
};

/// rms_norm over the last dimension, of size `width`; weight starts as 1.
class RMSNorm : public Module {
 public:
  explicit RMSNorm(int64_t width, RmsNormOptions options = {});
  RMSNorm(Module* parent, std::string name, int64_t width, RmsNormOptions options = {}) : RMSNorm(width, options) { join(parent, std::move(name)); }
  Tensor operator()(const Tensor& x) const;

  Parameter weight;

 private:
  double eps_;
};

}  // namespace plumb::nn
