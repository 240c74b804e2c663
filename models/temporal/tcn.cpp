// The temporal convolution network, forward, and its configuration.
#include "models/temporal/tcn.h"

#include <cmath>

#include "engine/io/json_fields.h"
#include "models/nn/init.h"
#include "models/nn/reparametrize.h"
#include "models/require.h"
#include "ops/activation.h"
#include "ops/pad.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::temporal {

static constexpr auto fields = [](auto& c, auto&& f) {
  f("inputs", c.inputs), f("channels", c.channels), f("kernel", c.kernel), f("dropout", c.dropout), f("outputs", c.outputs);
};

std::string TcnConfig::to_json() const { return fields_to_json(*this, fields); }
TcnConfig TcnConfig::from_json(const std::string& text) { return fields_from_json<TcnConfig>("tcn", text, fields); }

void TcnConfig::check() const {
  require_positive("tcn", {{"inputs", inputs}, {"kernel", kernel}, {"outputs", outputs}});
  require(!channels.empty() && channels.size() <= 30,
          "tcn: needs channels for 1 to 30 blocks, they are given for " + std::to_string(channels.size()));
  for (int64_t c : channels) require_positive("tcn", {{"channels", c}});
  require_rate("tcn", "dropout", dropout);
}

int64_t TcnConfig::receptive_field() const { return 1 + 2 * (kernel - 1) * ((int64_t{1} << channels.size()) - 1); }

static Tensor drawn(const Shape& shape, int64_t fan_in) {
  Tensor t = empty(shape);
  double bound = 1 / std::sqrt(static_cast<double>(fan_in));
  nn::init::uniform(t, -bound, bound);
  return t;
}

CausalConv1d::CausalConv1d(Module* parent, std::string name, int64_t in, int64_t out, int64_t kernel, int64_t dilation)
    : Module(parent, std::move(name)), dilation_(dilation) {
  Tensor v = drawn({out, in, kernel}, in * kernel);
  register_parameter("bias", bias, drawn({out}, in * kernel));
  register_parameter("weight_g", weight_g, nn::norms_along(v, 0));
  register_parameter("weight_v", weight_v, v);
}

Tensor CausalConv1d::operator()(const Tensor& x) const {
  Tensor before = pad(x, {(weight_v.size(2) - 1) * dilation_, 0});
  return conv1d(before, weight_norm(weight_v, weight_g), bias, {.dilation = dilation_});
}

TemporalBlock::TemporalBlock(int64_t in, int64_t out, int64_t kernel, int64_t dilation, double rate)
    : conv1(this, "conv1", in, out, kernel, dilation), conv2(this, "conv2", out, out, kernel, dilation), dropout(this, "dropout", rate) {
  if (in == out) return;
  register_module("downsample", downsample.emplace(in, out, 1));
  nn::init::normal(downsample->weight, 0, 0.01);
}

Tensor TemporalBlock::operator()(const Tensor& x) const {
  Tensor y = dropout(relu(conv2(dropout(relu(conv1(x))))));
  return relu(y + (downsample ? (*downsample)(x) : x));
}

Tcn::Tcn(const TcnConfig& c) : config_((c.check(), c)), tcn_(this), linear_(this, "linear", c.channels.back(), c.outputs) {
  int64_t in = c.inputs, dilation = 1;
  for (int64_t out : c.channels) {
    tcn_.network.emplace_back(in, out, c.kernel, dilation, c.dropout);
    in = out;
    dilation *= 2;
  }
}

Tensor Tcn::features(const Tensor& x) const {
  if (x.rank() != 3 || x.size(1) != config_.inputs || x.size(2) < 1)
    throw ShapeError("tcn: takes sequences [B, " + std::to_string(config_.inputs) + ", L] of at least one step, got " +
                     to_string(x.shape()));
  Tensor y = x;
  for (const TemporalBlock& block : tcn_.network) y = block(y);
  return y;
}

Tensor Tcn::operator()(const Tensor& x) const { return linear_(select(features(x), 2, -1)); }
Tensor Tcn::every_step(const Tensor& x) const { return linear_(mT(features(x))); }

}  // namespace plumb::temporal
