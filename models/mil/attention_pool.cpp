// Attention pooling of bags, forward.
#include "models/mil/attention_pool.h"

#include "engine/io/json_fields.h"
#include "models/require.h"
#include "ops/activation.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::mil {

static constexpr auto fields = [](auto& c, auto&& f) {
  f("inputs", c.inputs), f("width", c.width), f("attention", c.attention), f("gated", c.gated), f("activation", c.activation);
  f("attention_bias", c.attention_bias), f("dropout", c.dropout), f("classes", c.classes);
};

std::string AbmilConfig::to_json() const { return fields_to_json(*this, fields); }
AbmilConfig AbmilConfig::from_json(const std::string& text) { return fields_from_json<AbmilConfig>("abmil", text, fields); }

void AbmilConfig::check() const {
  require_positive("abmil", {{"inputs", inputs}, {"attention", attention}, {"classes", classes}});
  require(width >= 0, "abmil: width must not be negative, it is " + std::to_string(width));
  require(activation == "tanh" || activation == "relu", "abmil: activation \"" + activation + "\" is unknown; choose tanh or relu");
  require_rate("abmil", "dropout", dropout);
}

AttentionPool::AttentionPool(int64_t width, Options o)
    : relu_(o.relu), v_(this, "attention_V", width, o.attention, {.bias = o.bias}), w_(o.attention, 1, {.bias = o.bias}) {
  if (o.gated) register_module("attention_U", u_.emplace(width, o.attention, nn::LinearOptions{.bias = o.bias}));
  register_module("attention_w", w_);
}

Tensor AttentionPool::scores(const Tensor& h) const {
  Tensor hidden = relu_ ? relu(v_(h)) : tanh(v_(h));
  if (u_) hidden = hidden * sigmoid((*u_)(h));
  return squeeze(w_(hidden), 2);
}

AttentionPool::Pooled AttentionPool::operator()(const Tensor& h, const Tensor& mask) const {
  Tensor a = mask.defined() ? masked_softmax(scores(h), mask != 0, 1) : softmax(scores(h), 1);
  return {sum(h * unsqueeze(a, 2), {1}), a};
}

static int64_t pooled_width(const AbmilConfig& c) { return c.width > 0 ? c.width : c.inputs; }

Abmil::Abmil(const AbmilConfig& c)
    : config_((c.check(), c)),
      dropout_(this, "dropout", c.dropout),
      pool_(pooled_width(c), {.attention = c.attention, .gated = c.gated, .relu = c.activation == "relu", .bias = c.attention_bias}),
      classifier_(pooled_width(c), c.classes) {
  if (c.width > 0) register_module("projection", projection_.emplace(c.inputs, c.width));
  register_module("pool", pool_);
  register_module("classifier", classifier_);
}

Tensor Abmil::instances(const Tensor& x) const {
  if (x.rank() != 3 || x.size(2) != config_.inputs)
    throw ShapeError("abmil: takes bags [B, N, " + std::to_string(config_.inputs) + "], got " + to_string(x.shape()));
  return projection_ ? dropout_(relu((*projection_)(x))) : x;
}

Abmil::Answer Abmil::pooled(const Tensor& h, const Tensor& mask) const {
  if (mask.defined() && mask.shape() != Shape{h.size(0), h.size(1)})
    throw ShapeError("abmil: mask is " + to_string(mask.shape()) + ", the instances " + to_string(h.shape()));
  AttentionPool::Pooled p = pool_(h, mask);
  return {classifier_(p.vector), p.vector, p.attention};
}

Abmil::Answer Abmil::answer(const Tensor& x, const Tensor& mask) const { return pooled(instances(x), mask); }

}  // namespace plumb::mil
