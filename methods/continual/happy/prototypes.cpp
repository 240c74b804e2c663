// Prototypes, their radius and their hardness.
#include "methods/continual/happy/prototypes.h"

#include <fmt/format.h>

#include <cmath>
#include <vector>

#include "engine/autograd/grad_mode.h"
#include "engine/core/error.h"
#include "methods/common/class_labels.h"
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

namespace plumb::methods::happy {
namespace {

void check_rows(const Tensor& features, const Tensor& labels, int64_t classes) {
  if (features.rank() != 2 || labels.shape() != Shape{features.size(0)})
    throw ShapeError(fmt::format("prototypes: features {} with labels {}", to_string(features.shape()), to_string(labels.shape())));
  check_class_labels("prototypes", labels, classes);
}

/// The normalised features of one class, f64 [m, d].
Tensor rows_of(const Tensor& unit, const Tensor& labels, int64_t c) {
  std::vector<int64_t> places;
  std::vector<int64_t> y = to_vector<int64_t>(labels);
  for (size_t i = 0; i < y.size(); ++i)
    if (y[i] == c) places.push_back(static_cast<int64_t>(i));
  return index_select(unit, 0, from_vector(places));
}

}  // namespace

void PrototypeBank::fit_labelled(const Tensor& features, const Tensor& labels, int64_t classes) {
  check_rows(features, labels, classes);
  if (classes < 1) throw ValueError(fmt::format("prototypes: of {} classes", classes));
  NoGrad no_grad;
  Tensor unit = normalize(to(features, f64));
  std::vector<Tensor> means;
  double squares = 0;
  for (int64_t c = 0; c < classes; ++c) {
    Tensor own = rows_of(unit, labels, c);
    if (own.size(0) == 0) throw ValueError(fmt::format("prototypes: class {} has no examples", c));
    means.push_back(mean(own, {0}));
    squares += sum(var(own, {0}, /*correction=*/0)).item() / static_cast<double>(own.size(1));
  }
  radius_ = std::sqrt(squares / static_cast<double>(classes));
  prototypes_ = to(normalize(stack(means, 0)), f32);
}

void PrototypeBank::extend_pseudo(const Tensor& features, const Tensor& pseudo_labels, const Tensor& head_rows) {
  require_fitted();
  int64_t known = size(), classes = head_rows.size(0);
  if (head_rows.rank() != 2 || head_rows.size(1) != prototypes_.size(1) || features.size(-1) != prototypes_.size(1))
    throw ShapeError(fmt::format("prototypes: rows {} and features {} for prototypes {}", to_string(head_rows.shape()),
                                 to_string(features.shape()), to_string(prototypes_.shape())));
  if (classes <= known) throw ValueError(fmt::format("prototypes: of {} classes {} are there already", classes, known));
  check_rows(features, pseudo_labels, classes);
  NoGrad no_grad;
  Tensor unit = normalize(to(features, f64));
  std::vector<Tensor> all{prototypes_};
  for (int64_t c = known; c < classes; ++c) {
    Tensor own = rows_of(unit, pseudo_labels, c);
    Tensor direction = own.size(0) > 0 ? mean(own, {0}) : to(select(head_rows.detach(), 0, c), f64);
    all.push_back(unsqueeze(to(normalize(direction), f32), 0));
  }
  prototypes_ = cat(all, 0);
}

void PrototypeBank::require_fitted() const {
  if (!prototypes_.defined()) throw ValueError("prototypes: there are none yet");
}

Tensor PrototypeBank::hardness() const {
  require_fitted();
  NoGrad no_grad;
  Tensor mu = to(prototypes_, f64);
  if (size() == 1) return zeros({1}, f64);
  Tensor all = sum(matmul(mu, mT(mu)), {1}), own = sum(square(mu), {1});
  return (all - own) / static_cast<double>(size() - 1);
}

Tensor PrototypeBank::shares(double temperature) const {
  if (!(temperature > 0)) throw ValueError(fmt::format("prototypes: the temperature must be positive, it is {}", temperature));
  return softmax(hardness() / temperature, 0);
}

DrawnFeatures PrototypeBank::sample(int64_t n, double temperature, Generator& generator) const {
  Tensor p = shares(temperature);
  NoGrad no_grad;
  Tensor labels = multinomial(p, n, /*replacement=*/true, &generator);
  Tensor noise = randn({n, prototypes_.size(1)}, {.generator = &generator});
  return {index_select(prototypes_, 0, labels) + radius_ * noise, labels};
}

}  // namespace plumb::methods::happy
