// Losses over classes, over yes and no, and between distributions. Logarithms of probabilities come from log_softmax, logsigmoid and
// softplus, never from log of a rounded probability, so extreme logits give neither NaN nor infinity.
#include <cmath>
#include <limits>
#include <numbers>

#include "engine/autograd/grad_mode.h"
#include "ops/activation.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/loss_call.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb {

using detail::check_allowed;
using detail::loss_input;
using detail::reduced;

// x[.., t] for class numbers t [..].
static Tensor at_label(const Tensor& x, const Tensor& label) { return squeeze(gather(x, -1, unsqueeze(label, -1)), -1); }

Tensor nll_loss(const Tensor& log_probabilities, const Tensor& target, const NllOptions& o) {
  Tensor x = loss_input(log_probabilities);
  auto labels = detail::checked_labels("nll_loss", x, target, o.weight, o.ignore_index);
  return detail::weighted_reduced(neg(where(labels.weight == 0, 0, at_label(x, labels.index))) * labels.weight, labels.weight, o.reduction);
}

Tensor focal_loss(const Tensor& logits, const Tensor& target, const FocalOptions& o) {
  if (!(o.gamma >= 0)) throw ValueError("focal_loss: gamma must not be negative, it is " + decimal(o.gamma));
  Tensor x = loss_input(logits);
  auto labels = detail::checked_labels("focal_loss", x, target, o.weight, o.ignore_index);
  Tensor log_p = at_label(log_softmax(x, -1), labels.index);
  Tensor miss = clamp_min(neg(expm1(log_p)), 1e-30);  // 1 − p_t; the bound keeps its powers differentiable where p_t rounds to 1
  return detail::weighted_reduced(neg(log_p) * pow(miss, o.gamma) * labels.weight, labels.weight, o.reduction);
}

Tensor multi_margin_loss(const Tensor& scores, const Tensor& target, const MultiMarginOptions& o) {
  if (o.p != 1 && o.p != 2) throw ValueError("multi_margin_loss: p must be 1 or 2, it is " + decimal(o.p));
  Tensor x = loss_input(scores);
  constexpr int64_t kNothingIgnored = std::numeric_limits<int64_t>::min();  // no class has this number
  auto labels = detail::checked_labels("multi_margin_loss", x, target, {}, kNothingIgnored);
  Tensor truth = unsqueeze(labels.index, -1), excess = relu(x - gather(x, -1, truth) + o.margin);
  if (o.p == 2) excess = square(excess);
  Tensor others = scatter(ones_like(x.detach()), -1, truth, 0);
  return reduced(sum(excess * others, {-1}) * (1.0 / static_cast<double>(x.shape().back())), o.reduction);
}

// y pos softplus(−x) + (1 − y) softplus(x): each part is small and precise where it ought to be.
static Tensor binary_losses(const Tensor& x, const Tensor& y, const Tensor& pos_weight) {
  constexpr double kLinear = 40;  // log(1 + e⁴⁰) is 40 in every type
  Tensor positive = y * softplus(neg(x), 1, kLinear);
  return (pos_weight.defined() ? positive * to(pos_weight, x.dtype()) : positive) + (1 - y) * softplus(x, 1, kLinear);
}

Tensor binary_cross_entropy_with_logits(const Tensor& logits, const Tensor& target, const BinaryCrossEntropyOptions& o) {
  auto [x, y] = detail::loss_inputs("binary_cross_entropy_with_logits", logits, target);
  check_allowed("binary_cross_entropy_with_logits", "target", y, Allowed::unit_interval);
  Tensor losses = binary_losses(x, y, o.pos_weight);
  return reduced(o.weight.defined() ? losses * to(o.weight, x.dtype()) : losses, o.reduction);
}

Tensor binary_cross_entropy(const Tensor& probabilities, const Tensor& target, const BinaryCrossEntropyOptions& o) {
  auto [p, y] = detail::loss_inputs("binary_cross_entropy", probabilities, target);
  check_allowed("binary_cross_entropy", "probability", p, Allowed::unit_interval);
  check_allowed("binary_cross_entropy", "target", y, Allowed::unit_interval);
  // Logarithms are held at −100, not probabilities at e⁻¹⁰⁰, which f32 has among its subnormals to two digits only.
  Tensor log_p = where(p == 0, -100, clamp_min(log(where(p == 0, 1, p)), -100));
  Tensor losses = neg(y * log_p + (1 - y) * where(p == 1, -100, log1p(where(p == 1, 0, neg(p)))));
  return reduced(o.weight.defined() ? losses * to(o.weight, p.dtype()) : losses, o.reduction);
}

// With z = x for positives and −x for negatives: 1 − p_t = σ(−z), as e^(γ log σ(−z)) so that its powers are differentiable.
Tensor sigmoid_focal_loss(const Tensor& logits, const Tensor& target, const SigmoidFocalOptions& o) {
  if (!(o.gamma >= 0)) throw ValueError("sigmoid_focal_loss: gamma must not be negative, it is " + decimal(o.gamma));
  auto [x, y] = detail::loss_inputs("sigmoid_focal_loss", logits, target);
  check_allowed("sigmoid_focal_loss", "target", y, Allowed::unit_interval);
  Tensor losses = binary_losses(x, y, {}) * exp(logsigmoid(x * (1 - 2 * y)) * o.gamma);
  if (o.alpha >= 0) losses = losses * (y * o.alpha + (1 - y) * (1 - o.alpha));
  return reduced(losses, o.reduction);
}

Tensor hinge_loss(const Tensor& scores, const Tensor& target, const HingeOptions& o) {
  auto [x, y] = detail::loss_inputs("hinge_loss", scores, target);
  check_allowed("hinge_loss", "target", y, Allowed::sign);
  Tensor excess = relu(o.margin - y * x);
  return reduced(o.squared ? square(excess) : excess, o.reduction);
}

static void check_rows(const char* op, const Tensor& x) {
  if (x.rank() == 0) throw ShapeError(std::string(op) + ": the distributions must be [.., classes], they are single numbers");
}

// e^p (p − q), 0 where e^p is, with finite derivatives there.
static Tensor weighed(const Tensor& weight, const Tensor& p, const Tensor& q) {
  Tensor none = weight == -std::numeric_limits<double>::infinity();
  return exp(weight) * (where(none, 0, p) - where(none, 0, q));
}

Tensor kl_div(const Tensor& input, const Tensor& target, const KlOptions& o) {
  auto [q, t] = detail::loss_inputs("kl_div", input, target);
  check_rows("kl_div", q);
  Tensor log_q = o.logits ? log_softmax(q, -1) : q;
  Tensor each;
  if (o.log_target) {
    each = weighed(t, t, log_q);
  } else {  // what has no probability counts nothing, whatever q says of it
    each = xlogy(t, t) - t * where(t == 0, 0, log_q);
  }
  return reduced(sum(each, {-1}), o.reduction);
}

Tensor js_divergence(const Tensor& a, const Tensor& b, const JsOptions& o) {
  auto [x, y] = detail::loss_inputs("js_divergence", a, b);
  check_rows("js_divergence", x);
  Tensor p = o.logits ? log_softmax(x, -1) : x, q = o.logits ? log_softmax(y, -1) : y;
  Tensor m = logaddexp(p, q) - std::numbers::ln2;
  return reduced(sum((weighed(p, p, m) + weighed(q, q, m)) * 0.5, {-1}), o.reduction);
}

}  // namespace plumb
