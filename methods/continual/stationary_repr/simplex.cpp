// The simplex and its classifier.
#include "methods/continual/stationary_repr/simplex.h"

#include <fmt/format.h>

#include <cmath>

#include "ops/create.h"
#include "ops/join.h"
#include "ops/matmul.h"
#include "ops/normalize.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::stationary_repr {

Tensor simplex_weights(int64_t classes, DType dtype) {
  if (classes < 2) throw ValueError(fmt::format("stationary_repr: a simplex of {} classes; it takes 2 or more", classes));
  auto d = static_cast<double>(classes - 1);
  Tensor corners = cat({eye(classes - 1, -1, f64), full({1, classes - 1}, (1 - std::sqrt(1 + d)) / d, f64)});
  return to(normalize(corners - mean(corners, {0}, true)), dtype);
}

FixedClassifier::FixedClassifier(int64_t classes) : weight_(this, "weight", simplex_weights(classes)) {}

Tensor FixedClassifier::operator()(const Tensor& z) const {
  if (z.rank() < 1 || z.size(-1) != width())
    throw ShapeError(fmt::format("stationary_repr: features {} for a simplex of {} classes; their width is to be {}", to_string(z.shape()),
                                 classes(), width()));
  return linear(z, plumb::to(weight_, z.dtype()));
}

Tensor FixedClassifier::local_rows(const Tensor& labels) const {
  for (int64_t y : to_vector<int64_t>(labels))
    if (y < 0 || y >= classes()) throw IndexError(fmt::format("stationary_repr: class {} is outside [0, {})", y, classes()));
  return classes() - 1 - labels;
}

Tensor FixedClassifier::local_logits(const Tensor& z) const { return flip((*this)(z), {-1}); }

void FixedClassifier::check_room(int64_t pretrained, int64_t local) const {
  if (pretrained + local > classes())
    throw ValueError(
        fmt::format("stationary_repr: {} pre-trained and {} local classes do not fit a simplex of {}", pretrained, local, classes()));
}

}  // namespace plumb::methods::stationary_repr
