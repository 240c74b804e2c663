// Functions as layers: those that need more than one operation's header.
#include "models/nn/activation.h"

#include "ops/pointwise.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::nn {

const char* name(ActivationKind kind) {
  switch (kind) {
    case ActivationKind::gelu: return "gelu";
    case ActivationKind::gelu_tanh: return "gelu_tanh";
    case ActivationKind::relu: return "relu";
    case ActivationKind::silu: return "silu";
  }
  return "?";
}

ActivationKind activation_named(const std::string& wanted) {
  for (ActivationKind kind : {ActivationKind::gelu, ActivationKind::gelu_tanh, ActivationKind::relu, ActivationKind::silu})
    if (wanted == name(kind)) return kind;
  throw ConfigError("activation \"" + wanted + "\" is unknown; choose gelu, gelu_tanh, relu or silu");
}

Tensor activate(ActivationKind kind, const Tensor& x) {
  switch (kind) {
    case ActivationKind::gelu: return gelu(x);
    case ActivationKind::gelu_tanh: return gelu(x, GeluForm::tanh);
    case ActivationKind::relu: return relu(x);
    case ActivationKind::silu: return silu(x);
  }
  return x;
}

PReLU::PReLU(int64_t channels, double start) {
  if (channels < 1) throw ValueError("prelu: the number of channels must be positive, it is " + std::to_string(channels));
  register_parameter("weight", weight, full({channels}, start));
}

// max(x, 0) + a min(x, 0)
Tensor PReLU::operator()(const Tensor& x) const {
  int64_t channels = weight.numel();
  if (channels > 1 && (x.rank() < 2 || x.size(1) != channels))
    throw ShapeError("prelu: there are " + std::to_string(channels) + " channels, x is " + to_string(x.shape()));
  Shape shape = Shape::filled(x.rank(), 1);
  if (channels > 1) shape[1] = channels;
  return relu(x) - reshape(weight, shape) * relu(-x);
}

Tensor Softmax::operator()(const Tensor& x) const { return softmax(x, dim_); }
Tensor LogSoftmax::operator()(const Tensor& x) const { return log_softmax(x, dim_); }
Tensor Flatten::operator()(const Tensor& x) const { return flatten(x, start_, end_); }

}  // namespace plumb::nn
