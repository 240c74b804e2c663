// The transformer over instances, forward.
#include "models/mil/trans_mil.h"

#include <cmath>

#include "engine/io/json_fields.h"
#include "models/require.h"
#include "ops/activation.h"
#include "ops/attention.h"
#include "ops/join.h"
#include "ops/matmul.h"
#include "ops/pad.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::mil {

static constexpr auto fields = [](auto& c, auto&& f) {
  f("inputs", c.inputs), f("width", c.width), f("heads", c.heads), f("residual", c.residual), f("dropout", c.dropout),
      f("classes", c.classes);
};

std::string TransMilConfig::to_json() const { return fields_to_json(*this, fields); }
TransMilConfig TransMilConfig::from_json(const std::string& text) { return fields_from_json<TransMilConfig>("trans_mil", text, fields); }

void TransMilConfig::check() const {
  require_positive("trans_mil", {{"inputs", inputs}, {"width", width}, {"heads", heads}, {"classes", classes}});
  require_multiple("trans_mil", "width", width, "heads", heads);
  require(residual == 0 || (residual > 0 && residual % 2 == 1), "trans_mil: residual must be odd or 0, it is " + std::to_string(residual));
  require_rate("trans_mil", "dropout", dropout);
}

PyramidPositions::PyramidPositions(Module* parent, std::string name, int64_t width)
    : Module(parent, std::move(name)),
      proj(this, "proj", width, width, 7, {.padding = 3, .groups = width}),
      proj1(this, "proj1", width, width, 5, {.padding = 2, .groups = width}),
      proj2(this, "proj2", width, width, 3, {.padding = 1, .groups = width}) {}

Tensor PyramidPositions::operator()(const Tensor& x, int64_t side) const {
  Tensor picture = unflatten(mT(slice(x, 1, 1)), 2, {side, side});
  Tensor y = picture + proj(picture) + proj1(picture) + proj2(picture);
  return cat({slice(x, 1, 0, 1), mT(flatten(y, 2))}, 1);
}

TransLayer::Attention::Attention(Module* parent, const TransMilConfig& c)
    : Module(parent, "attn"),
      to_qkv(this, "to_qkv", c.width, 3 * c.width, {.bias = false}),
      to_out(this, "to_out"),
      dropout(this, "dropout", c.dropout),
      heads(c.heads) {
  to_out.emplace_back(c.width, c.width);
  if (c.residual > 0)
    register_module("res_conv", res_conv.emplace(c.heads, c.heads, Size2{c.residual, 1},
                                                 nn::Conv2dOptions{.padding = {c.residual / 2, 0}, .groups = c.heads, .bias = false}));
}

TransLayer::Result TransLayer::Attention::operator()(const Tensor& x) const {
  Tensor qkv = permute(unflatten(to_qkv(x), 2, {3, heads, -1}), {2, 0, 3, 1, 4});  // [3, B, heads, T, d]
  Tensor q = select(qkv, 0, 0), k = select(qkv, 0, 1), v = select(qkv, 0, 2);
  Tensor y = scaled_dot_product_attention(q, k, v);
  if (res_conv) y = y + (*res_conv)(v);
  double scale = 1 / std::sqrt(static_cast<double>(q.size(3)));
  Tensor weights = softmax(matmul(slice(q, 2, 0, 1), mT(k)) * scale, 3);
  return {dropout(to_out.front()(flatten(transpose(y, 1, 2), 2))), squeeze(weights, 2)};
}

TransLayer::TransLayer(Module* parent, std::string name, const TransMilConfig& c)
    : Module(parent, std::move(name)), norm_(this, "norm", c.width), attn_(this, c) {}

TransLayer::Result TransLayer::operator()(const Tensor& x) const {
  Result r = attn_(norm_(x));
  return {x + r.y, r.class_attention};
}

TransMil::TransMil(const TransMilConfig& c)
    : config_((c.check(), c)),
      cls_token_(this, "cls_token", randn({1, 1, c.width})),
      fc1_(this, "_fc1"),
      layer1_(this, "layer1", c),
      positions_(this, "pos_layer", c.width),
      layer2_(this, "layer2", c),
      norm_(this, "norm", c.width),
      fc2_(this, "_fc2", c.width, c.classes) {
  fc1_.emplace_back(c.inputs, c.width);
}

Tensor TransMil::instances(const Tensor& x) const {
  if (x.rank() != 3 || x.size(1) < 1 || x.size(2) != config_.inputs)
    throw ShapeError("trans_mil: takes bags [B, N, " + std::to_string(config_.inputs) + "] of at least one instance, got " +
                     to_string(x.shape()));
  return relu(fc1_.front()(x));
}

TransMil::Answer TransMil::pooled(const Tensor& h) const {
  int64_t count = h.size(1), side = static_cast<int64_t>(std::ceil(std::sqrt(static_cast<double>(count)))), repeated = side * side - count;
  Tensor x = cat({expand(cls_token_, {h.size(0), 1, config_.width}), h, slice(h, 1, 0, repeated)}, 1);
  x = layer1_(x).y;
  x = positions_(x, side);
  auto [y, attention] = layer2_(x);
  Tensor bag = select(norm_(y), 1, 0);
  Tensor own = slice(attention, 2, 1, 1 + count);
  if (repeated > 0) own = own + pad(slice(attention, 2, 1 + count), {0, count - repeated});
  return {fc2_(bag), bag, own};
}

TransMil::Answer TransMil::answer(const Tensor& x) const { return pooled(instances(x)); }

}  // namespace plumb::mil
