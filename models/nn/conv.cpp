// Convolution layers.
#include "models/nn/conv.h"

#include <cmath>

#include "models/nn/init.h"

namespace plumb::nn {
namespace {

void check_sizes(const char* layer, int64_t in, int64_t out, Size2 kernel, int64_t groups) {
  if (in < 1 || out < 1 || kernel.height < 1 || kernel.width < 1)
    throw ValueError(std::string(layer) + ": sizes must be positive, got " + std::to_string(in) + " → " + std::to_string(out) + " channels, kernel " +
                     std::to_string(kernel.height) + "×" + std::to_string(kernel.width));
  if (groups < 1 || in % groups != 0 || out % groups != 0)
    throw ValueError(std::string(layer) + ": " + std::to_string(groups) + " groups do not divide " + std::to_string(in) + " → " + std::to_string(out) + " channels");
}

// Weights and biases of any of these layers; their fan-in is what one row of the weight holds.
template <typename Layer, typename Options>
void start(Layer& layer, const Shape& shape, int64_t out, const Options& o) {
  double bound = 1 / std::sqrt(static_cast<double>(numel(shape.slice(1, shape.rank()))));
  layer.register_parameter("weight", layer.weight, empty(shape, o.dtype, o.device));
  init::uniform(layer.weight, -bound, bound);
  if (!o.bias) return;
  layer.register_parameter("bias", layer.bias, empty({out}, o.dtype, o.device));
  init::uniform(layer.bias, -bound, bound);
}

}  // namespace

Conv2d::Conv2d(int64_t in, int64_t out, Size2 kernel, Conv2dOptions o) : options_{o.stride, o.padding, o.dilation, o.groups, o.padding_mode, o.same} {
  check_sizes("conv2d", in, out, kernel, o.groups);
  start(*this, {out, in / o.groups, kernel.height, kernel.width}, out, o);
}
Tensor Conv2d::operator()(const Tensor& x) const { return conv2d(x, weight, bias, options_); }

Conv1d::Conv1d(int64_t in, int64_t out, int64_t kernel, Conv1dOptions o) : options_{o.stride, o.padding, o.dilation, o.groups, o.padding_mode, o.same} {
  check_sizes("conv1d", in, out, {1, kernel}, o.groups);
  start(*this, {out, in / o.groups, kernel}, out, o);
}
Tensor Conv1d::operator()(const Tensor& x) const { return conv1d(x, weight, bias, options_); }

ConvTranspose2d::ConvTranspose2d(int64_t in, int64_t out, Size2 kernel, ConvTranspose2dOptions o)
    : options_{o.stride, o.padding, o.output_padding, o.dilation, o.groups} {
  check_sizes("conv_transpose2d", in, out, kernel, o.groups);
  start(*this, {in, out / o.groups, kernel.height, kernel.width}, out, o);
}
Tensor ConvTranspose2d::operator()(const Tensor& x) const { return conv_transpose2d(x, weight, bias, options_); }

ConvTranspose1d::ConvTranspose1d(int64_t in, int64_t out, int64_t kernel, ConvTranspose1dOptions o)
    : options_{o.stride, o.padding, o.output_padding, o.dilation, o.groups} {
  check_sizes("conv_transpose1d", in, out, {1, kernel}, o.groups);
  start(*this, {in, out / o.groups, kernel}, out, o);
}
Tensor ConvTranspose1d::operator()(const Tensor& x) const { return conv_transpose1d(x, weight, bias, options_); }

}  // namespace plumb::nn
