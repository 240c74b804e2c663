// The feed-forward network of a transformer block, forward.
#include "models/nn/feed_forward.h"

#include "ops/feed_forward.h"
#include "ops/pointwise.h"

namespace plumb::nn {

FeedForward::FeedForward(int64_t width, int64_t inner, FeedForwardOptions o)
    : up(width, inner, {o.bias, o.dtype, o.device}), down(inner, width, {o.bias, o.dtype, o.device}), dropout_(o.dropout),
      activation_(o.activation) {
  if (o.gated) register_module("gate", gate.emplace(width, inner, LinearOptions{o.bias, o.dtype, o.device}));
  register_module("up", up);
  register_module("down", down);
  register_module("dropout", dropout_);
}

// One operation where nothing comes between its layers; the same numbers otherwise.
Tensor FeedForward::operator()(const Tensor& x) const {
  if (activation_ == ActivationKind::gelu_tanh && !gate && !up.adapters && !down.adapters)
    return dropout_(through_bottleneck(gelu_feed_forward(x, up.weight, up.bias, down.weight, down.bias)));
  Tensor inner = gate ? activate(activation_, (*gate)(x)) * up(x) : activate(activation_, up(x));
  return dropout_(through_bottleneck(down(inner)));
}

}  // namespace plumb::nn
