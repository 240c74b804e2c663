// Normalisation layers, forward.
#include "models/nn/norm.h"

#include "engine/autograd/checkpoint.h"
#include "engine/autograd/grad_mode.h"
#include "models/nn/batch_statistics.h"
#include "ops/pointwise.h"

namespace plumb::nn {

LayerNorm::LayerNorm(Shape shape, LayerNormOptions options) : shape_(shape), eps_(options.eps) {
  if (!options.affine) return;
  register_parameter("weight", weight, ones(shape, options.dtype, options.device));
  if (options.bias) register_parameter("bias", bias, zeros(shape, options.dtype, options.device));
}

Tensor LayerNorm::operator()(const Tensor& x) const { return layer_norm(x, shape_, weight, bias, eps_); }
AddNorm LayerNorm::added(const Tensor& x, const Tensor& branch) const {
  if (!branch.defined()) return {x, (*this)(x)};
  return add_layer_norm(x, branch, shape_, weight, bias, eps_);
}

RMSNorm::RMSNorm(int64_t width, RmsNormOptions options) : eps_(options.eps) {
  register_parameter("weight", weight, ones({width}, options.dtype, options.device));
}

Tensor RMSNorm::operator()(const Tensor& x) const { return rms_norm(x, weight.shape(), weight, eps_); }

namespace {

void check_channels(const char* layer, int64_t channels) {
  if (channels < 1) throw ValueError(std::string(layer) + ": the number of channels must be positive, it is " + std::to_string(channels));
}

template <typename Layer, typename Options>
void add_affine(Layer& layer, int64_t channels, const Options& o) {
  if (!o.affine) return;
  layer.register_parameter("weight", layer.weight, ones({channels}, o.dtype, o.device));
  layer.register_parameter("bias", layer.bias, zeros({channels}, o.dtype, o.device));
}

}  // namespace

BatchNorm::BatchNorm(int64_t channels, BatchNormOptions options) : options_(options) {
  check_channels("batch_norm", channels);
  add_affine(*this, channels, options);
  if (!options.running) return;
  register_buffer("running_mean", running_mean, zeros({channels}, options.dtype, options.device));
  register_buffer("running_var", running_var, ones({channels}, options.dtype, options.device));
  register_buffer("num_batches_tracked", num_batches_tracked, zeros({}, i64, options.device));
}

// Written in place: an average of the weights, or a state dictionary, may hold the same tensors.
void BatchNorm::track(const plumb::BatchNorm& batch) const {
  double momentum = options_.cumulative ? 1 / static_cast<double>(num_batches_tracked.item<int64_t>() + 1) : options_.momentum;
  RunningStatistics running{running_mean, running_var};
  update_running_(running, batch, momentum, num_batches_tracked);
}

Tensor BatchNorm::operator()(const Tensor& x) const {
  if (BatchStatistics::on()) return batch_norm_training(x, weight, bias, options_.eps).y;
  if (!training() && options_.running) return batch_norm(x, running_mean, running_var, weight, bias, options_.eps);
  plumb::BatchNorm batch = batch_norm_training(x, weight, bias, options_.eps);
  if (training() && options_.running && !recomputing()) track(batch);
  return batch.y;
}

GroupNorm::GroupNorm(int64_t groups, int64_t channels, ChannelNormOptions options) : groups_(groups), eps_(options.eps) {
  check_channels("group_norm", channels);
  if (groups < 1 || channels % groups != 0)
    throw ValueError("group_norm: " + std::to_string(groups) + " groups do not divide " + std::to_string(channels) + " channels");
  add_affine(*this, channels, options);
}
Tensor GroupNorm::operator()(const Tensor& x) const { return group_norm(x, groups_, weight, bias, eps_); }

InstanceNorm::InstanceNorm(int64_t channels, ChannelNormOptions options) : eps_(options.eps) {
  check_channels("instance_norm", channels);
  add_affine(*this, channels, options);
}
Tensor InstanceNorm::operator()(const Tensor& x) const { return instance_norm(x, weight, bias, eps_); }

}  // namespace plumb::nn
