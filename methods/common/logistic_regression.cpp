// Logistic regression by L-BFGS on whole data.
#include "methods/common/logistic_regression.h"

#include <cmath>
#include <string>

#include "methods/common/class_rows.h"
#include "models/optim/minimize.h"
#include "ops/elementary.h"
#include "ops/join.h"
#include "ops/loss.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::methods {

LogisticRegression::LogisticRegression(const Tensor& x, const Tensor& labels, int64_t classes, const LogisticOptions& o) {
  check_class_rows("logistic_regression", x, labels, classes);
  if (!(o.c >= 0 && std::isfinite(o.c)))
    throw ValueError("logistic_regression: C must be finite and not negative, it is " + decimal(o.c));
  Tensor wide = to(x.detach(), f64);
  std::vector<Tensor> start{plumb::zeros({classes, x.size(1)}, f64)};
  if (o.intercept) start.push_back(plumb::zeros({classes}, f64));
  auto objective = [&](const std::vector<Tensor>& p) {
    Tensor z = linear(wide, p[0], o.intercept ? p[1] : Tensor());
    return cross_entropy(z, labels, {.reduction = Reduction::sum}) * o.c + sum(square(p[0])) * 0.5;
  };
  optim::Minimum found = optim::lbfgs_minimize(objective, start, {.iterations = o.iterations, .gradient_tolerance = o.gradient_tolerance});
  weight_ = found.x[0];
  bias_ = o.intercept ? found.x[1] : plumb::zeros({classes}, f64);
  objective_ = found.value;
  gradient_ = found.gradient;
  converged_ = found.converged;
}

Tensor LogisticRegression::scores(const Tensor& x) const {
  check_feature_rows("logistic_regression", x, weight_.size(1));
  return linear(to(x, f64), weight_, bias_);
}

Tensor LogisticRegression::predict(const Tensor& x) const { return argmax(scores(x), -1); }
Tensor LogisticRegression::probabilities(const Tensor& x) const { return softmax(scores(x), -1); }

namespace {

Tensor with_reference(const Tensor& logits) { return cat({plumb::zeros({logits.size(0), 1}, logits.dtype()), logits}, 1); }

}  // namespace

Tensor reference_cross_entropy(const Tensor& logits, const Tensor& labels) {
  return cross_entropy(with_reference(logits), labels, {.reduction = Reduction::sum});
}

Tensor reference_probabilities(const Tensor& logits) { return narrow(softmax(with_reference(logits), -1), 1, 1, logits.size(1)); }

Tensor reference_regression(const Tensor& features, const Tensor& labels, const Tensor& start, double ridge, double gradient_tolerance) {
  if (features.rank() != 2 || start.rank() != 2 || features.size(1) != start.size(0))
    throw ShapeError("reference_regression: features " + to_string(features.shape()) + " and weights " + to_string(start.shape()) +
                     " must be [n, d] and [d, k]");
  if (!(ridge >= 0)) throw ValueError("reference_regression: the ridge must not be negative, it is " + decimal(ridge));
  Tensor wide = to(features.detach(), f64);
  auto objective = [&](const std::vector<Tensor>& p) {
    Tensor loss = reference_cross_entropy(matmul(wide, p[0]), labels);
    return ridge > 0 ? loss + sum(square(p[0])) * ridge : loss;
  };
  return optim::lbfgs_minimize(objective, {start}, {.iterations = 200, .gradient_tolerance = gradient_tolerance}).x[0];
}

}  // namespace plumb::methods
