// Convolution layers: what they share, and in what the four differ.
#include "models/nn/conv.h"

#include <cmath>

#include "models/nn/init.h"

namespace plumb::nn {
namespace {

// -- the four: their operation, its name, and which channels come first in their weight -------------------------------------------------

const char* name_of(const Conv2dOptions&) { return "conv2d"; }
const char* name_of(const Conv1dOptions&) { return "conv1d"; }
const char* name_of(const ConvTranspose2dOptions&) { return "conv_transpose2d"; }
const char* name_of(const ConvTranspose1dOptions&) { return "conv_transpose1d"; }

Tensor convolved(const Tensor& x, const Tensor& weight, const Tensor& bias, const Conv2dOptions& o) {
  return conv2d(x, weight, bias, {o.stride, o.padding, o.dilation, o.groups, o.padding_mode, o.same});
}
Tensor convolved(const Tensor& x, const Tensor& weight, const Tensor& bias, const Conv1dOptions& o) {
  return conv1d(x, weight, bias, {o.stride, o.padding, o.dilation, o.groups, o.padding_mode, o.same});
}
Tensor convolved(const Tensor& x, const Tensor& weight, const Tensor& bias, const ConvTranspose2dOptions& o) {
  return conv_transpose2d(x, weight, bias, {o.stride, o.padding, o.output_padding, o.dilation, o.groups});
}
Tensor convolved(const Tensor& x, const Tensor& weight, const Tensor& bias, const ConvTranspose1dOptions& o) {
  return conv_transpose1d(x, weight, bias, {o.stride, o.padding, o.output_padding, o.dilation, o.groups});
}

template <typename Size>
Shape weight_channels(int64_t in, int64_t out, const ConvOptions<Size>& o) {
  return {out, in / o.groups};
}
template <typename Size>
Shape weight_channels(int64_t in, int64_t out, const ConvTransposeOptions<Size>& o) {
  return {in, out / o.groups};
}

// -- what they share ------------------------------------------------------------------------------------------------------------------

Size2 as_image(Size2 kernel) { return kernel; }
Size2 as_image(int64_t kernel) { return {1, kernel}; }

void append(Shape& shape, Size2 kernel) {
  shape.push_back(kernel.height);
  shape.push_back(kernel.width);
}
void append(Shape& shape, int64_t kernel) { shape.push_back(kernel); }

void check_sizes(const char* layer, int64_t in, int64_t out, Size2 kernel, int64_t groups) {
  std::string channels = std::to_string(in) + " → " + std::to_string(out) + " channels";
  if (in < 1 || out < 1 || kernel.height < 1 || kernel.width < 1)
    throw ValueError(std::string(layer) + ": sizes must be positive, got " + channels + ", kernel " + std::to_string(kernel.height) + "×" +
                     std::to_string(kernel.width));
  if (groups < 1 || in % groups != 0 || out % groups != 0)
    throw ValueError(std::string(layer) + ": " + std::to_string(groups) + " groups do not divide " + channels);
}

}  // namespace

template <typename Options>
ConvLayer<Options>::ConvLayer(int64_t in, int64_t out, Size kernel, Options o) : options_(o) {
  check_sizes(name_of(o), in, out, as_image(kernel), o.groups);
  Shape shape = weight_channels(in, out, o);
  append(shape, kernel);
  double bound = 1 / std::sqrt(static_cast<double>(numel(shape.slice(1, shape.rank()))));
  register_parameter("weight", weight, empty(shape, o.dtype, o.device));
  init::uniform(weight, -bound, bound);
  if (!o.bias) return;
  register_parameter("bias", bias, empty({out}, o.dtype, o.device));
  init::uniform(bias, -bound, bound);
}

template <typename Options>
Tensor ConvLayer<Options>::operator()(const Tensor& x) const {
  return convolved(x, this->adapted_weight(), this->bias, options_);
}

template class ConvLayer<Conv2dOptions>;
template class ConvLayer<Conv1dOptions>;
template class ConvLayer<ConvTranspose2dOptions>;
template class ConvLayer<ConvTranspose1dOptions>;

}  // namespace plumb::nn
