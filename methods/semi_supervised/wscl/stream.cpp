// A stream of WSCL: pre-filter, encoder, decoder, and the heads of its volume.
#include <fmt/format.h>

#include "engine/core/error.h"
#include "methods/semi_supervised/wscl/wscl.h"
#include "models/mil/otsu_pool.h"
#include "models/require.h"
#include "ops/activation.h"
#include "ops/elementary.h"
#include "ops/join.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::wscl {

void StreamConfig::check() const {
  require(!channels.empty(), "wscl: a stream without convolutions");
  for (int64_t c : channels) require_positive("wscl", {{"channels", c}});
  require_positive("wscl", {{"volume", volume}});
}

Stream::Layer::Layer(int64_t in, int64_t out, int64_t stride)
    : conv(this, "conv", in, out, 3, {.stride = stride, .padding = 1, .bias = false}), norm(this, "norm", out) {}
Tensor Stream::Layer::operator()(const Tensor& x) const { return relu(norm(conv(x))); }

Stream::Head::Head(nn::Module* parent, std::string name, int64_t channels, int64_t features)
    : Module(parent, std::move(name)), in(this, "in", channels, channels, 1), out(this, "out", channels, features, 1) {}
Tensor Stream::Head::operator()(const Tensor& x) const { return out(leaky_relu(in(x))); }

Stream::Stream(const StreamConfig& c)
    : config_((c.check(), c)),
      decoder_(c.channels.back(), c.channels.back(), 1),
      out_(this, "out", c.channels.back(), 1, 1),
      head1_(this, "head1", c.channels.back(), c.volume),
      head2_(this, "head2", c.channels.back(), c.volume) {
  register_module("decoder", decoder_);
  if (c.source == Source::srm || c.source == Source::early) register_module("srm", srm_.emplace(c.srm_clip));
  if (c.source == Source::bayar || c.source == Source::early) register_module("bayar", bayar_.emplace(3, 3));
  if (c.source == Source::early) fusion_.emplace(this, "fusion", 9, 3, 1);
  register_module("encoder", encoder_);
  int64_t in = 3;
  for (size_t i = 0; i < c.channels.size(); ++i) {
    encoder_.emplace_back(in, c.channels[i], i == 0 ? 1 : 2);
    in = c.channels[i];
  }
}

Tensor Stream::filtered(const Tensor& x) const {
  switch (config_.source) {
    case Source::rgb:
      return x;
    case Source::srm:
      return (*srm_)(x);
    case Source::bayar:
      return (*bayar_)(x);
    default:
      return (*fusion_)(cat({x, (*srm_)(x), (*bayar_)(x)}, 1));
  }
}

Tensor Stream::encoded(const Tensor& images) const {
  if (images.rank() != 4 || images.size(1) != 3)
    throw ShapeError(fmt::format("wscl: takes images [B, 3, H, H], got {}", to_string(images.shape())));
  Tensor x = filtered(images);
  for (const Layer& layer : encoder_) x = layer(x);
  return x;
}

Tensor Stream::decoded(const Tensor& features) const { return squeeze(out_(decoder_(features)), 1); }

Tensor Stream::map_logits(const Tensor& images) const { return decoded(encoded(images)); }

StreamOutput Stream::operator()(const Tensor& images) const {
  Tensor features = encoded(images), map = sigmoid(decoded(features));
  Tensor score = config_.pooling == Pooling::otsu ? mil::otsu_pool(map) : amax(map, {1, 2});
  return {map, score, inconsistency_logits(head1_(features), head2_(features)), features.size(2)};
}

WsclModel::WsclModel(const std::vector<StreamConfig>& configs) {
  for (const StreamConfig& c : configs) streams.emplace_back(c);
}

std::vector<StreamOutput> WsclModel::operator()(const Tensor& images) const {
  std::vector<StreamOutput> out;
  for (const Stream& s : streams) out.push_back(s(images));
  return out;
}

std::vector<StreamConfig> three_streams(const StreamConfig& like) {
  std::vector<StreamConfig> configs(3, like);
  configs[0].source = Source::rgb;
  configs[1].source = Source::srm;
  configs[2].source = Source::bayar;
  return configs;
}

}  // namespace plumb::methods::wscl
