// Templates, and means over pairs of models.
#include "models/metrics/compatibility.h"

#include <cmath>
#include <string>

#include "engine/autograd/grad_mode.h"
#include "models/contrastive/prototype.h"
#include "models/metrics/confusion.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::metrics {
namespace {

Tensor unit(const char* what, const Tensor& x) {
  if (x.rank() != 2) throw ShapeError(std::string("identification_accuracy: ") + what + " must be [n, d], got " + to_string(x.shape()));
  Tensor lengths = norm(x, 2, {1}, true);
  std::vector<double> values = to_vector(lengths);
  for (size_t i = 0; i < values.size(); ++i)
    if (!(values[i] > 0 && std::isfinite(values[i])))
      throw ValueError(std::string("identification_accuracy: row ") + std::to_string(i) + " of " + what + " is 0 or not finite");
  return x / lengths;
}

void check(const CompatibilityMatrix& c, const char* op, size_t least) {
  if (c.size() < least)
    throw ValueError(std::string(op) + ": takes " + std::to_string(least) + " models or more, got " + std::to_string(c.size()));
  for (size_t t = 0; t < c.size(); ++t)
    if (c[t].size() <= t)
      throw ValueError(std::string(op) + ": row " + std::to_string(t) + " has " + std::to_string(c[t].size()) + " scores, it needs " +
                       std::to_string(t + 1));
}

}  // namespace

double identification_accuracy(const Tensor& query, const Tensor& query_labels, const Tensor& gallery, const Tensor& gallery_labels,
                               int64_t classes) {
  NoGrad no_grad;
  Tensor q = unit("the queries", query), g = unit("the gallery", gallery);
  if (q.size(1) != g.size(1) || query_labels.shape() != Shape{q.size(0)})
    throw ShapeError("identification_accuracy: queries " + to_string(q.shape()) + " with labels " + to_string(query_labels.shape()) +
                     " for a gallery " + to_string(g.shape()));
  Tensor templates = unit("the templates", contrastive::prototypes(g, gallery_labels, classes));
  return accuracy(argmax(matmul(q, mT(templates)), 1), query_labels);
}

double average_compatibility(const CompatibilityMatrix& c) {
  check(c, "average_compatibility", 2);
  double compatible = 0, pairs = 0;
  for (size_t t = 0; t < c.size(); ++t)
    for (size_t i = 0; i < t; ++i, ++pairs) compatible += c[t][i] > c[i][i];
  return compatible / pairs;
}

double average_multi_model_accuracy(const CompatibilityMatrix& c) {
  check(c, "average_multi_model_accuracy", 1);
  double total = 0, entries = 0;
  for (size_t t = 0; t < c.size(); ++t)
    for (size_t i = 0; i <= t; ++i, ++entries) total += c[t][i];
  return total / entries;
}

}  // namespace plumb::metrics
