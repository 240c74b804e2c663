// Compositors and the two networks around them.
#include "methods/representation/cir_uncertainty/network.h"

#include <fmt/format.h>

#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "engine/core/error.h"
#include "ops/activation.h"
#include "ops/elementary.h"
#include "ops/join.h"
#include "ops/matmul.h"
#include "ops/norm.h"
#include "ops/normalize.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::methods::cir_uncertainty {
namespace {

constexpr int64_t kHidden = 128, kFirstChannels = 8;
constexpr double kEps = 1e-5;  // under the root, so that a channel of one value has a slope

const NetworkConfig& checked(const NetworkConfig& config) {
  config.check();
  return config;
}

mlp::MlpConfig joint(int64_t width, int64_t text) { return {.inputs = width + text, .hidden = {width}, .outputs = width}; }

Tensor text_of(const nn::Embedding& words, const Tensor& tokens) {
  if (tokens.rank() != 2)
    throw ShapeError(fmt::format("composed retrieval: tokens must be [B, n], they are {}", to_string(tokens.shape())));
  return mean(words(tokens), {1});
}

}  // namespace

void NetworkConfig::check() const {
  auto positive = [](const char* what, double value) {
    if (!(value > 0)) throw ConfigError(fmt::format("composed retrieval: {} must be positive, it is {}", what, value));
  };
  positive("channels", static_cast<double>(channels));
  positive("side", static_cast<double>(side));
  positive("tokens", static_cast<double>(tokens));
  positive("text", static_cast<double>(text));
  positive("width", static_cast<double>(width));
  positive("norm_scale", norm_scale);
}

GatedResidual::GatedResidual(int64_t width, int64_t text) : gate(joint(width, text)), residual(joint(width, text)) {
  register_module("gate", gate);
  register_module("residual", residual);
}

Tensor GatedResidual::operator()(const Tensor& x, const Tensor& text) const {
  Tensor both = cat({x, text}, 1);
  return sigmoid(gate(both)) * x + residual(both);
}

CosmoCompositor::TextAttention::TextAttention(int64_t channels, int64_t text)
    : query(this, "query", channels, channels),
      key(this, "key", channels, channels),
      value(this, "value", channels, channels),
      gate(this, "gate", text, channels),
      weight(this, "weight", ones({1})) {}

Tensor CosmoCompositor::TextAttention::operator()(const Tensor& places, const Tensor& text) const {
  Tensor q = query(places) * unsqueeze(sigmoid(gate(text)), 1);
  Tensor scores = matmul(q, mT(key(places))) / std::sqrt(static_cast<double>(places.size(2)));
  return matmul(softmax(scores, -1), value(places));
}

CosmoCompositor::CosmoCompositor(int64_t c, int64_t text)
    : attention{TextAttention(c, text), TextAttention(c, text)},
      gates(this, "gates", text, 2 * c),
      style(this, "style", text, 2 * c),
      channels(c) {
  register_module("attention_0", attention[0]);
  register_module("attention_1", attention[1]);
  NoGrad off;
  Tensor factor = narrow(style.bias, 0, 0, c), shift = narrow(style.bias, 0, c, c);
  fill_(factor, 1);
  fill_(shift, 0);
}

Tensor CosmoCompositor::operator()(const Tensor& x, const Tensor& text) const {
  if (x.rank() != 4 || x.size(1) != channels)
    throw ShapeError(fmt::format("cosmo_compositor: takes maps [B, {}, H, W], got {}", channels, to_string(x.shape())));
  Tensor places = mT(flatten(instance_norm(x), 2));  // [B, H·W, C]
  for (const TextAttention& a : attention) places = places + a(places, text) * a.weight;
  Tensor content = reshape(mT(places), x.shape());
  Tensor sigma = sqrt(var(x, {2, 3}, 0) + kEps), mu = mean(x, {2, 3});  // [B, C]
  Tensor gate = sigmoid(gates(text)), own = style(text);
  Tensor gamma = narrow(gate, 1, 0, channels) * sigma + narrow(own, 1, 0, channels);
  Tensor beta = narrow(gate, 1, channels, channels) * mu + narrow(own, 1, channels, channels);
  return unsqueeze(unsqueeze(gamma, 2), 3) * content + unsqueeze(unsqueeze(beta, 2), 3);
}

PerceptronNetwork::PerceptronNetwork(const NetworkConfig& c)
    : words(this, "words", checked(c).tokens, c.text),
      lower({.inputs = c.channels * c.side * c.side, .hidden = {kHidden}, .outputs = c.width}),
      compositor(c.width, c.text),
      upper(this, "upper", c.width, c.width),
      norm_scale_(c.norm_scale) {
  register_module("lower", lower);
  register_module("compositor", compositor);
}

Tensor PerceptronNetwork::target(const Tensor& images) const { return normalize(upper(lower(flatten(images, 1)))) * norm_scale_; }

Tensor PerceptronNetwork::query(const Tensor& images, const Tensor& tokens) const {
  return normalize(upper(compositor(lower(flatten(images, 1)), text_of(words, tokens)))) * norm_scale_;
}

CosmoNetwork::CosmoNetwork(const NetworkConfig& c)
    : words(this, "words", checked(c).tokens, c.text),
      conv1(this, "conv1", c.channels, kFirstChannels, 3, {.padding = 1, .bias = false}),
      conv2(this, "conv2", kFirstChannels, 2 * kFirstChannels, 3, {.stride = 2, .padding = 1, .bias = false}),
      conv3(this, "conv3", 2 * kFirstChannels, 4 * kFirstChannels, 3, {.stride = 2, .padding = 1, .bias = false}),
      bn1(this, "bn1", kFirstChannels),
      bn2(this, "bn2", 2 * kFirstChannels),
      bn3(this, "bn3", 4 * kFirstChannels),
      compositor(4 * kFirstChannels, c.text),
      upper(this, "upper", 4 * kFirstChannels, c.width),
      norm_scale_(c.norm_scale) {
  register_module("compositor", compositor);
}

Tensor CosmoNetwork::map(const Tensor& images) const { return relu(bn3(conv3(relu(bn2(conv2(relu(bn1(conv1(images))))))))); }

Tensor CosmoNetwork::top(const Tensor& m) const { return normalize(upper(mean(m, {2, 3}))) * norm_scale_; }

Tensor CosmoNetwork::target(const Tensor& images) const { return top(map(images)); }

Tensor CosmoNetwork::query(const Tensor& images, const Tensor& tokens) const {
  return top(compositor(map(images), text_of(words, tokens)));
}

}  // namespace plumb::methods::cir_uncertainty
