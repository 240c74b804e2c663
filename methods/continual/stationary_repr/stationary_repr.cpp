// The compatibility loss.
#include "methods/continual/stationary_repr/stationary_repr.h"

#include <fmt/format.h>

#include "methods/common/masked_contrastive.h"
#include "methods/common/metric_losses.h"
#include "ops/elementary.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::stationary_repr {

static void check_lambda(double lambda) {
  if (!(lambda >= 0 && lambda <= 1)) throw ValueError(fmt::format("stationary_repr: lambda must lie in [0, 1], it is {:g}", lambda));
}

Tensor higher_order_compatibility(const Tensor& features, const Tensor& previous, const Tensor& labels, const HocOptions& o) {
  if (features.shape() != previous.shape() || features.rank() != 2 || labels.shape() != Shape{features.size(0)})
    throw ShapeError(fmt::format("stationary_repr: features {}, previous {} and labels {} do not fit", to_string(features.shape()),
                                 to_string(previous.shape()), to_string(labels.shape())));
  if (!(o.mu > 0)) throw ValueError(fmt::format("stationary_repr: mu must be positive, it is {:g}", o.mu));
  Tensor s = matmul(unit_rows(previous.detach()), mT(unit_rows(features))) * o.mu;
  Tensor same = unsqueeze(labels, 1) == unsqueeze(labels, 0), extra;
  if (o.same == SameClass::as_zero) extra = log(to(count_nonzero(same, {1}), s.dtype()));
  return mean(decoupled_contrastive(diagonal(s), s, logical_not(same), extra));
}

Tensor compatible_loss(const FixedClassifier& classifier, const Tensor& features, const Tensor& previous, const Tensor& rows, double lambda,
                       const HocOptions& options) {
  check_lambda(lambda);
  if (lambda == 1) return cross_entropy(classifier(features), rows);
  Tensor tie = higher_order_compatibility(features, previous, rows, options);
  return lambda == 0 ? tie : cross_entropy(classifier(features), rows) * lambda + tie * (1 - lambda);
}

void CompatibleOptions::check() const {
  check_lambda(lambda);
  if (!(distance_weight >= 0))
    throw ValueError(fmt::format("stationary_repr: the weight of the distance must not be negative, it is {:g}", distance_weight));
}

}  // namespace plumb::methods::stationary_repr
