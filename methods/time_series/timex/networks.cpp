// Encoders with gates, decoders, and the generator of masks.
#include "methods/time_series/timex/networks.h"

#include <cmath>
#include <string>

#include "models/nn/init.h"
#include "models/require.h"
#include "ops/attention.h"
#include "ops/join.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::methods::timex {

void EncoderOptions::check() const {
  require_positive("timex", {{"channels", channels}, {"steps", steps}, {"code", code}, {"inner", inner}, {"layers", layers}});
  require(steps >= 2, "timex: a series needs at least 2 steps, got " + std::to_string(steps));
  require(code >= 4 && code % 2 == 0, "timex: the time code must be even and at least 4 wide, it is " + std::to_string(code));
  require_rate("timex", "dropout", dropout);
}

// sinusoidal_embedding has frequencies base^(−k / h), h half the width; T^(−k / (h − 1)) is that of base T^(h / (h − 1)).
Tensor time_code(const Tensor& times, int64_t steps, int64_t code) {
  double half = static_cast<double>(code) / 2;
  return sinusoidal_embedding(times, code, std::pow(static_cast<double>(steps), half / (half - 1)));
}

GatedAttention::GatedAttention(const EncoderOptions& o)
    : query(this, "query", o.width(), o.width()),
      key(this, "key", o.width(), o.width()),
      value(this, "value", o.width(), o.width()),
      out(this, "out", o.width(), o.width()),
      dropout(this, "dropout", o.dropout),
      renormalise(o.renormalise) {
  for (nn::Linear* layer : {&query, &key, &value, &out}) {
    nn::init::xavier_uniform(layer->weight);
    nn::init::zeros(layer->bias);
  }
}

Tensor GatedAttention::operator()(const Tensor& x, const Tensor& gate) const {
  Tensor weights = softmax(matmul(query(x), mT(key(x))) / std::sqrt(static_cast<double>(x.size(-1))), -1);
  if (gate.defined()) {
    weights = weights * unsqueeze(gate, -1) * unsqueeze(gate, -2);
    if (renormalise) weights = weights / (sum(weights, {-1}, true) + 1e-9);
  }
  return out(matmul(dropout(weights), value(x)));
}

GatedLayer::GatedLayer(const EncoderOptions& o)
    : attention(this, "attention", o),
      norm1(this, "norm1", o.width()),
      up(this, "up", o.width(), o.inner),
      down(this, "down", o.inner, o.width()),
      dropout(this, "dropout", o.dropout),
      norm2(this, "norm2", o.width()) {}

Tensor GatedLayer::operator()(const Tensor& x, const Tensor& gate) const {
  Tensor u = norm1(dropout(attention(x, gate)));
  return norm2(u + dropout(down(dropout(relu(up(u))))));
}

SeriesEncoder::SeriesEncoder(const EncoderOptions& options) : options_(options) {
  options.check();
  for (int64_t i = 0; i < options.layers; ++i) layers_.emplace_back(options);
  register_module("layers", layers_);
}

Tensor SeriesEncoder::embed(const Tensor& x, const Tensor& times) const {
  if (x.rank() != 3 || x.size(2) != options_.channels || times.rank() != 2 || times.size(0) != x.size(0) || times.size(1) != x.size(1))
    throw ShapeError("timex: series " + to_string(x.shape()) + " and times " + to_string(times.shape()) + " must be [B, T, " +
                     std::to_string(options_.channels) + "] and [B, T]");
  return cat({plumb::to(time_code(times, options_.steps, options_.code), x.dtype()), x}, -1);
}

Tensor SeriesEncoder::tokens(const Tensor& x, const Tensor& times, const Tensor& gate) const {
  Tensor h = embed(x, times);
  for (const GatedLayer& layer : layers_) h = layer(h, gate);
  return h;
}

Tensor SeriesEncoder::operator()(const Tensor& x, const Tensor& times, const Tensor& gate) const {
  return sum(tokens(x, times, gate), {1}) / static_cast<double>(x.size(1) + 1);
}

SeriesClassifier::SeriesClassifier(const EncoderOptions& o, int64_t classes)
    : encoder(this, "encoder", o), head({.inputs = o.width(), .hidden = {o.width()}, .outputs = classes}) {
  register_module("head", head);
}

DecoderLayer::DecoderLayer(int64_t width, int64_t inner, double rate)
    : self(this, "self", width, 1, {.dropout = rate}),
      cross(this, "cross", width, 1, {.dropout = rate}),
      mlp(this, "mlp", width, inner, {.activation = nn::ActivationKind::relu, .dropout = rate}),
      norm1(this, "norm1", width),
      norm2(this, "norm2", width),
      norm3(this, "norm3", width),
      dropout(this, "dropout", rate) {}

Tensor DecoderLayer::operator()(const Tensor& x, const Tensor& memory) const {
  Tensor h = norm1(x + dropout(self(x)));
  h = norm2(h + dropout(cross(h, memory)));
  return norm3(h + mlp(h));
}

MaskGenerator::MaskGenerator(const EncoderOptions& o, int64_t decoder_layers, int64_t decoder_inner)
    : encoder_(this, "encoder", o), out_(o.width(), o.channels == 1 ? 2 : o.channels) {
  require_positive("timex", {{"decoder layers", decoder_layers}, {"decoder inner width", decoder_inner}});
  for (int64_t i = 0; i < decoder_layers; ++i) layers_.emplace_back(o.width(), decoder_inner, o.dropout);
  register_module("layers", layers_);
  register_module("out", out_);
  nn::init::xavier_uniform(out_.weight);
  nn::init::constant(out_.bias, 0.01);
}

Tensor MaskGenerator::operator()(const Tensor& x, const Tensor& times) const {
  Tensor memory = encoder_.tokens(x, times), h = encoder_.embed(x, times);
  for (const DecoderLayer& layer : layers_) h = layer(h, memory);
  Tensor logits = out_(h);
  return x.size(2) == 1 ? narrow(softmax(logits, -1), -1, 1, 1) : sigmoid(logits);
}

}  // namespace plumb::methods::timex
