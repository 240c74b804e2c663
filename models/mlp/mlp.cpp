// The multi-layer perceptron, and its configuration as JSON.
#include "models/mlp/mlp.h"

#include "engine/io/json_fields.h"
#include "models/nn/init.h"
#include "models/require.h"
#include "ops/activation.h"
#include "ops/elementary.h"
#include "ops/shape.h"

namespace plumb::mlp {

static constexpr auto fields = [](auto& c, auto&& f) {
  f("inputs", c.inputs), f("hidden", c.hidden), f("outputs", c.outputs), f("activation", c.activation), f("norm", c.norm),
      f("dropout", c.dropout);
};

std::string MlpConfig::to_json() const { return fields_to_json(*this, fields); }
MlpConfig MlpConfig::from_json(const std::string& text) { return fields_from_json<MlpConfig>("mlp", text, fields); }

void MlpConfig::check() const {
  require(inputs >= 1 && outputs >= 1,
          "an mlp needs inputs and outputs, not " + std::to_string(inputs) + " and " + std::to_string(outputs));
  for (int64_t width : hidden) require(width >= 1, "--hidden must be at least 1, it is " + std::to_string(width));
  bool known = activation == "relu" || activation == "gelu" || activation == "silu" || activation == "tanh";
  require(known, "--activation " + activation + " is unknown; choose relu, gelu, silu or tanh");
  require(dropout >= 0 && dropout < 1, "--dropout must lie in [0, 1), it is " + decimal(dropout));
}

Mlp::Mlp(const MlpConfig& c)
    : config_((c.check(), c)), layers_(this, "layers"), norms_(this, "norms"), dropout_(this, "dropout", c.dropout) {
  int64_t in = c.inputs;
  for (int64_t width : c.hidden) {
    layers_.emplace_back(in, width);
    if (c.activation == "relu") nn::init::kaiming_normal(layers_.back().weight);
    if (c.norm) norms_.emplace_back(Shape{width});
    in = width;
  }
  layers_.emplace_back(in, c.outputs);
}

static Tensor activated(const std::string& name, const Tensor& x) {
  if (name == "gelu") return gelu(x);
  if (name == "silu") return silu(x);
  if (name == "tanh") return tanh(x);
  return relu(x);
}

Tensor Mlp::operator()(const Tensor& input) const {
  Tensor x = flatten(input, 1);
  if (x.size(1) != config_.inputs)
    throw ShapeError("mlp: takes " + std::to_string(config_.inputs) + " numbers an example, got " + to_string(input.shape()));
  for (size_t i = 0; i + 1 < layers_.size(); ++i) {
    x = layers_[i](x);
    if (config_.norm) x = norms_[i](x);
    x = dropout_(activated(config_.activation, x));
  }
  return layers_[layers_.size() - 1](x);
}

}  // namespace plumb::mlp
