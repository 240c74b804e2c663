// Normalisation layers.
#pragma once
#include "models/nn/module.h"
#include "ops/norm.h"

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
  LayerNorm(Module* parent, std::string name, Shape shape, LayerNormOptions options = {}) : LayerNorm(shape, options) {
    join(parent, std::move(name));
  }
  LayerNorm(Module* parent, std::string name, int64_t width, LayerNormOptions options = {})
      : LayerNorm(parent, std::move(name), Shape{width}, options) {}
  Tensor operator()(const Tensor& x) const;
  /// x + branch and its norm, by add_layer_norm; x and its own without a branch.
  AddNorm added(const Tensor& x, const Tensor& branch) const;

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
  RMSNorm(Module* parent, std::string name, int64_t width, RmsNormOptions options = {}) : RMSNorm(width, options) {
    join(parent, std::move(name));
  }
  Tensor operator()(const Tensor& x) const;

  Parameter weight;

 private:
  double eps_;
};

struct BatchNormOptions {
  double eps = 1e-5;
  double momentum = 0.1;          ///< weight of the newest batch in the running statistics
  bool cumulative = false;        ///< the plain mean over all batches instead
  bool affine = true;
  bool running = true;            ///< false: the batch's own statistics in evaluation too
  DType dtype = f32;
  Device device = {};
};

/// Each channel of x [n, C, ..] normalised over the batch, in training mode by its own mean and variance, which also move the running ones;
/// in evaluation mode by the running ones (Ioffe & Szegedy 2015). The running variance is that of a sample (divided by n − 1).
class BatchNorm : public Module {
 public:
  explicit BatchNorm(int64_t channels, BatchNormOptions options = {});
  BatchNorm(Module* parent, std::string name, int64_t channels, BatchNormOptions options = {}) : BatchNorm(channels, options) {
    join(parent, std::move(name));
  }
  Tensor operator()(const Tensor& x) const;

  Parameter weight, bias;
  Buffer running_mean, running_var, num_batches_tracked;

 private:
  void track(const plumb::BatchNorm& batch) const;
  BatchNormOptions options_;
};
using BatchNorm1d = BatchNorm;
using BatchNorm2d = BatchNorm;

struct ChannelNormOptions {
  double eps = 1e-5;
  bool affine = true;
  DType dtype = f32;
  Device device = {};
};

/// group_norm(x, groups) of x [n, C, ..]; weight and bias [C] (Wu & He 2018). Throws ValueError unless the groups divide the channels.
class GroupNorm : public Module {
 public:
  GroupNorm(int64_t groups, int64_t channels, ChannelNormOptions options = {});
  GroupNorm(Module* parent, std::string name, int64_t groups, int64_t channels, ChannelNormOptions options = {})
      : GroupNorm(groups, channels, options) {
    join(parent, std::move(name));
  }
  Tensor operator()(const Tensor& x) const;

  Parameter weight, bias;

 private:
  int64_t groups_;
  double eps_;
};

/// instance_norm(x) of x [n, C, ..] (Ulyanov et al. 2016); without weight and bias unless asked for.
class InstanceNorm : public Module {
 public:
  explicit InstanceNorm(int64_t channels, ChannelNormOptions options = {.affine = false});
  InstanceNorm(Module* parent, std::string name, int64_t channels, ChannelNormOptions options = {.affine = false})
      : InstanceNorm(channels, options) {
    join(parent, std::move(name));
  }
  Tensor operator()(const Tensor& x) const;

  Parameter weight, bias;

 private:
  double eps_;
};

}  // namespace plumb::nn
