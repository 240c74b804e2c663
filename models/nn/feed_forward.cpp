// The feed-forward network of a transformer block, forward.
#include "models/nn/feed_forward.h"

#include "ops/activation.h"
#include "ops/pointwise.h"

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

FeedForward::FeedForward(int64_t width, int64_t inner, FeedForwardOptions o)
    : up(width, inner, {o.bias, o.dtype, o.device}), down(inner, width, {o.bias, o.dtype, o.device}), dropout_(o.dropout), activation_(o.activation) {
  if (o.gated) register_module("gate", gate.emplace(width, inner, LinearOptions{o.bias, o.dtype, o.device}));
  register_module("up", up);
  register_module("down", down);
  register_module("dropout", dropout_);
}

Tensor FeedForward::operator()(const Tensor& x) const {
  Tensor inner = gate ? activate(activation_, (*gate)(x)) * up(x) : activate(activation_, up(x));
  return dropout_(down(inner));
}

}  // namespace plumb::nn
