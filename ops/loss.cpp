// Losses on real numbers, and what all losses share. They are written in differentiable operations, so their derivatives follow.
#include "ops/loss.h"

#include <cmath>
#include <numbers>

#include "engine/autograd/grad_mode.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/index_call.h"
#include "ops/loss_call.h"
#include "ops/pointwise.h"
#include "ops/pointwise_call.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb {
namespace detail {

Tensor loss_input(const Tensor& x) { return x.dtype() == f64 ? x : to(x, f32); }

LossInputs loss_inputs(const char* op, const Tensor& prediction, const Tensor& target) {
  if (prediction.shape() != target.shape())
    throw ShapeError(std::string(op) + ": the prediction is " + to_string(prediction.shape()) + ", the target " +
                     to_string(target.shape()));
  check_same_device(op, prediction, target);
  DType type = prediction.dtype() == f64 || target.dtype() == f64 ? f64 : f32;
  return {to(prediction, type), to(target, type)};
}

Tensor reduced(const Tensor& losses, Reduction reduction) {
  if (reduction == Reduction::none) return losses;
  return reduction == Reduction::sum ? sum(losses) : mean(losses);
}

void check_allowed(const char* op, const char* what, const Tensor& x, Allowed allowed) {
  bool found = false;
  double value = 0;
  kernel::check_values(x.device(), op, what, contiguous_data(loss_input(x.detach())), allowed, found, value);
  if (found) throw ValueError(std::string(op) + ": " + what + " " + decimal(value) + " " + complaint(allowed));
}
void check_positive(const char* op, const char* what, double value) {
  if (!(value > 0)) throw ValueError(std::string(op) + ": " + what + " must be positive, it is " + decimal(value));
}

Labels checked_labels(const char* op, const Tensor& x, const Tensor& target, const Tensor& class_weight, int64_t ignore_index) {
  NoGrad off;
  if (x.rank() == 0 || target.shape() != x.shape().slice(0, x.rank() - 1))
    throw ShapeError(std::string(op) + ": class numbers must have the input's shape without its last dimension (the classes): input " +
                     to_string(x.shape()) + ", target " + to_string(target.shape()));
  if (class_weight.defined() && class_weight.shape() != Shape{x.shape().back()})
    throw ShapeError(std::string(op) + ": the weight must be [" + std::to_string(x.shape().back()) + "], one number a class; it is " +
                     to_string(class_weight.shape()));
  check_same_device(op, x, target);
  Tensor ignored = target == ignore_index, index = checked_index(op, where(ignored, 0, target), 0, x.shape().back());
  Tensor weight = class_weight.defined() ? take(to(class_weight, x.dtype()), index) : ones(target.shape(), x.dtype(), x.device());
  return {index, where(ignored, 0, weight)};
}

Tensor weighted_reduced(const Tensor& losses, const Tensor& weights, Reduction reduction) {
  if (reduction != Reduction::mean) return reduced(losses, reduction);
  Tensor divisor = sum(weights);
  return sum(losses) / where(divisor == 0, 1, divisor);
}

}  // namespace detail

using detail::reduced;

static Tensor difference(const char* op, const Tensor& prediction, const Tensor& target) {
  auto in = detail::loss_inputs(op, prediction, target);
  return in.prediction - in.target;
}

Tensor mse_loss(const Tensor& prediction, const Tensor& target, Reduction reduction) {
  return reduced(square(difference("mse_loss", prediction, target)), reduction);
}
Tensor l1_loss(const Tensor& prediction, const Tensor& target, Reduction reduction) {
  return reduced(abs(difference("l1_loss", prediction, target)), reduction);
}

Tensor smooth_l1_loss(const Tensor& prediction, const Tensor& target, double beta, Reduction reduction) {
  if (!(beta >= 0)) throw ValueError("smooth_l1_loss: beta must not be negative, it is " + decimal(beta));
  Tensor d = difference("smooth_l1_loss", prediction, target), a = abs(d);
  if (beta == 0) return reduced(a, reduction);
  return reduced(where(a < beta, square(d) * (0.5 / beta), a - 0.5 * beta), reduction);
}

Tensor huber_loss(const Tensor& prediction, const Tensor& target, double delta, Reduction reduction) {
  detail::check_positive("huber_loss", "delta", delta);
  Tensor d = difference("huber_loss", prediction, target), a = abs(d);
  return reduced(where(a < delta, square(d) * 0.5, (a - 0.5 * delta) * delta), reduction);
}

// √(1 + z) − 1 = z / (√(1 + z) + 1), which keeps small differences
Tensor pseudo_huber_loss(const Tensor& prediction, const Tensor& target, double delta, Reduction reduction) {
  detail::check_positive("pseudo_huber_loss", "delta", delta);
  Tensor z = square(difference("pseudo_huber_loss", prediction, target) * (1 / delta));
  return reduced(z / (sqrt(z + 1) + 1) * (delta * delta), reduction);
}

Tensor cauchy_loss(const Tensor& prediction, const Tensor& target, double scale, Reduction reduction) {
  detail::check_positive("cauchy_loss", "scale", scale);
  Tensor z = square(difference("cauchy_loss", prediction, target) * (1 / scale));
  return reduced(log1p(z) * (0.5 * scale * scale), reduction);
}

Tensor poisson_nll_loss(const Tensor& prediction, const Tensor& target, const PoissonNllOptions& o) {
  auto [x, t] = detail::loss_inputs("poisson_nll_loss", prediction, target);
  Tensor loss = o.log_input ? exp(x) - t * x : x - t * log(x + o.eps);
  if (o.full) {
    Tensor large = clamp_min(t, 1);
    loss = loss + where(t > 1, large * log(large) - large + log(large * (2 * std::numbers::pi)) * 0.5, 0);
  }
  return reduced(loss, o.reduction);
}

Tensor gaussian_nll_loss(const Tensor& prediction, const Tensor& target, const Tensor& variance, const GaussianNllOptions& o) {
  auto [x, t] = detail::loss_inputs("gaussian_nll_loss", prediction, target);
  if (broadcast_shapes("gaussian_nll_loss", x.shape(), variance.shape()) != x.shape())
    throw ShapeError("gaussian_nll_loss: the variance " + to_string(variance.shape()) + " does not broadcast to the prediction " +
                     to_string(x.shape()));
  detail::check_allowed("gaussian_nll_loss", "variance", variance, Allowed::not_negative);
  Tensor v = clamp_min(to(variance, x.dtype()), o.eps);
  Tensor loss = (log(v) + square(x - t) / v) * 0.5;
  return reduced(o.full ? loss + 0.5 * std::log(2 * std::numbers::pi) : loss, o.reduction);
}

}  // namespace plumb
