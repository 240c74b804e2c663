// Maps of similarities, and the two ways from activations to classes.
#include "methods/representation/proto_eval/prototype_layer.h"

#include <fmt/format.h>

#include "engine/autograd/grad_mode.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/matmul.h"
#include "ops/normalize.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::methods::proto_eval {
namespace {

int64_t checked_count(int64_t classes, int64_t per_class, int64_t width) {
  if (classes < 1 || per_class < 1 || width < 1)
    throw ValueError(fmt::format("proto_eval: {} classes with {} prototypes of {} numbers", classes, per_class, width));
  return classes * per_class;
}

// ⟨row, z(h, w)⟩ for rows [M, D] and features [B, D, H, W].
Tensor products(const Tensor& rows, const Tensor& z) { return unflatten(matmul(rows, flatten(z, 2)), 2, {z.size(2), z.size(3)}); }

void check_features(const Tensor& z, const Tensor& prototypes) {
  if (z.rank() != 4 || z.size(1) != prototypes.size(1))
    throw ShapeError(fmt::format("proto_eval: features are to be [B, {}, H, W], got {}", prototypes.size(1), to_string(z.shape())));
}

}  // namespace

PrototypeLayer::PrototypeLayer(int64_t classes, int64_t per_class, int64_t width)
    : prototypes(this, "prototypes", rand({checked_count(classes, per_class, width), width})), classes_(classes), per_class_(per_class) {}

Tensor PrototypeLayer::directions() const { return normalize(prototypes, 2, 1); }

Tensor PrototypeLayer::activation_maps(const Tensor& z) const {
  check_features(z, prototypes);
  return products(directions(), z);
}

Tensor PrototypeLayer::cosine_maps(const Tensor& z) const {
  check_features(z, prototypes);
  return products(directions(), normalize(z, 2, 1));
}

Tensor PrototypeLayer::squared_distance_maps(const Tensor& z) const {
  check_features(z, prototypes);
  Tensor p = reshape(sum(square(prototypes), {1}), {1, prototypes.size(0), 1, 1});
  return clamp_min(sum(square(z), {1}, true) + p - products(prototypes, z) * 2, 0);
}

void PrototypeLayer::to_unit_length() {
  NoGrad no_grad;
  Tensor p = prototypes;
  copy_(p, directions());
}

Tensor PrototypeLayer::class_of() const { return repeat_interleave(arange(classes_, i64), per_class_, 0); }

Tensor own_class(const Tensor& values, const Tensor& labels, int64_t per_class) {
  if (values.rank() < 2 || labels.shape() != Shape{values.size(0)} || values.size(1) % per_class != 0)
    throw ShapeError(fmt::format("proto_eval: values {} of {} prototypes a class for labels {}", to_string(values.shape()), per_class,
                                 to_string(labels.shape())));
  int64_t classes = values.size(1) / per_class;
  for (int64_t y : to_vector<int64_t>(labels))
    if (y < 0 || y >= classes) throw IndexError(fmt::format("proto_eval: class {} is outside [0, {})", y, classes));
  return index(unflatten(values, 1, {classes, per_class}), {arange(values.size(0), i64), labels});
}

ScoreAggregation::ScoreAggregation(int64_t classes, int64_t per_class)
    : weight(this, "weight", ones({classes, checked_count(classes, per_class, 1) / classes})) {}

Tensor ScoreAggregation::weights() const { return softmax(weight, 1) * static_cast<double>(weight.size(1)); }

Tensor ScoreAggregation::operator()(const Tensor& g) const {
  if (g.rank() != 2 || g.size(1) != weight.numel())
    throw ShapeError(fmt::format("proto_eval: activations are to be [B, {}], got {}", weight.numel(), to_string(g.shape())));
  return sum(unflatten(g, 1, weight.shape()) * weights(), {2});
}

}  // namespace plumb::methods::proto_eval
