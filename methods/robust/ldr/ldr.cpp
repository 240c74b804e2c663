// Label distributionally robust losses.
#include "methods/robust/ldr/ldr.h"

#include <fmt/format.h>

#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "engine/core/error.h"
#include "methods/common/reduction.h"
#include "methods/common/robust_losses.h"
#include "ops/activation.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::methods::ldr {
namespace {

constexpr double kTiny = 1e-12;

void check_margin(const char* op, double margin) {
  if (!(margin >= 0)) throw ValueError(fmt::format("{}: the margin must not be negative, it is {}", op, margin));
}

// d_k = f_k − f_y + c 1[k ≠ y].
Tensor violations(const Tensor& scores, const Tensor& labels, double margin) {
  Tensor d = scores - gather(scores, 1, unsqueeze(labels, 1));
  if (margin == 0) return d;
  return d + margin * to(one_hot(labels, scores.size(1)) == 0, scores.dtype());
}

// λ log mean_k exp(d_k / λ), λ [B, 1] or a number. Shifted by the largest d, a constant since it drops out of the derivative, and in terms
// of eˣ − 1, so that a large λ, where all exponents are near 0, loses nothing either.
template <typename Lambda>
Tensor soft_maximum(const Tensor& d, const Lambda& lambda) {
  Tensor top = amax(d.detach(), {1}, true);
  Tensor risen = log1p(mean(expm1((d - top) / lambda), {1}, true));
  return squeeze(top + lambda * risen, 1);
}

void check_lambda(const char* op, double lambda) {
  if (!(lambda > 0 && std::isfinite(lambda))) throw ValueError(fmt::format("{}: lambda must be above 0, it is {}", op, lambda));
}

void check(const AldrOptions& o) {
  check_lambda("aldr_kl", o.lambda0);
  check_margin("aldr_kl", o.margin);
  if (!(o.alpha > 1)) throw ValueError(fmt::format("aldr_kl: alpha must be above 1, it is {}", o.alpha));
  if (!(o.floor >= 0)) throw ValueError(fmt::format("aldr_kl: the floor must not be negative, it is {}", o.floor));
}

}  // namespace

Tensor normalize_scores(const Tensor& scores, ScoreNorm norm) {
  if (scores.rank() != 2) throw ShapeError("normalize_scores: scores must be [B, K], they are " + to_string(scores.shape()));
  if (norm == ScoreNorm::none) return scores;
  Tensor s = norm == ScoreNorm::l1 ? scores : softplus(scores);
  Tensor size = mean(norm == ScoreNorm::l1 ? abs(s) : s, {1}, true);
  return s / where(size > kTiny, size, 1.0);
}

Tensor ldr_kl_loss(const Tensor& scores, const Tensor& labels, const LdrOptions& o) {
  check_class_scores("ldr_kl_loss", scores, labels);
  check_lambda("ldr_kl_loss", o.lambda);
  check_margin("ldr_kl_loss", o.margin);
  return reduced(soft_maximum(violations(normalize_scores(scores, o.normalize), labels, o.margin), o.lambda), o.reduction);
}

Tensor ldr_kl_rows(const Tensor& scores, const Tensor& labels, const Tensor& lambdas, double margin) {
  check_class_scores("ldr_kl_rows", scores, labels);
  check_margin("ldr_kl_rows", margin);
  if (lambdas.shape() != labels.shape())
    throw ShapeError(fmt::format("ldr_kl_rows: lambdas {} for labels {}", to_string(lambdas.shape()), to_string(labels.shape())));
  for (double lambda : to_vector(lambdas)) check_lambda("ldr_kl_rows", lambda);
  return soft_maximum(violations(scores, labels, margin), unsqueeze(to(lambdas.detach(), scores.dtype()), 1));
}

Tensor worst_case(const Tensor& scores, const Tensor& labels, double lambda, double margin) {
  check_class_scores("ldr_worst_case", scores, labels);
  check_lambda("ldr_worst_case", lambda);
  check_margin("ldr_worst_case", margin);
  NoGrad no_grad;
  return softmax(violations(scores, labels, margin), 1, lambda);
}

Tensor adapted_lambdas(const Tensor& normalized, const Tensor& lambdas, const AldrOptions& o) {
  check(o);
  if (normalized.rank() != 2 || normalized.size(1) < 2 || lambdas.shape() != Shape{normalized.size(0)})
    throw ShapeError(fmt::format("aldr_kl: scores must be [B, K ≥ 2] and lambdas [B], they are {} and {}", to_string(normalized.shape()),
                                 to_string(lambdas.shape())));
  NoGrad no_grad;
  auto classes = static_cast<double>(normalized.size(1));
  Tensor p = softmax(to(normalized, f64) / unsqueeze(to(lambdas, f64), 1), 1) + o.floor;
  p = p / sum(p, {1}, true);
  Tensor divergence = clamp(sum(xlogy(p, classes * p), {1}), 0, std::log(classes));
  return o.lambda0 - (o.lambda0 / (o.alpha * std::log(classes))) * divergence;
}

AldrKlLoss::AldrKlLoss(int64_t samples, AldrOptions options) : options_(options) {
  if (samples < 1) throw ValueError(fmt::format("aldr_kl: {} samples", samples));
  check(options_);
  lambdas_ = full({samples}, options_.lambda0, f64);
}

Tensor AldrKlLoss::operator()(const Tensor& scores, const Tensor& labels, const Tensor& index) {
  check_class_scores("aldr_kl", scores, labels);
  if (index.shape() != labels.shape())
    throw ShapeError(fmt::format("aldr_kl: index {} for labels {}", to_string(index.shape()), to_string(labels.shape())));
  for (int64_t i : to_vector<int64_t>(index))
    if (i < 0 || i >= lambdas_.size(0)) throw IndexError(fmt::format("aldr_kl: index {} is outside [0, {})", i, lambdas_.size(0)));
  const AldrOptions& o = options_;
  Tensor f = normalize_scores(scores, o.normalize);
  Tensor now = adapted_lambdas(f.detach(), index_select(lambdas_, 0, index), o);
  copy_data(index_copy(lambdas_, 0, index, now), lambdas_);  // in place: a module may hold it as a buffer
  double price = o.alpha * std::log(static_cast<double>(scores.size(1))) / (2 * o.lambda0);
  double spent = price * mean(square(now - o.lambda0)).item();
  return mean(ldr_kl_rows(f, labels, now, o.margin)) - spent;
}

void AldrKlLoss::set_lambdas(const Tensor& lambdas) {
  if (lambdas.shape() != lambdas_.shape())
    throw ShapeError(fmt::format("aldr_kl: lambdas {} for {} samples", to_string(lambdas.shape()), lambdas_.size(0)));
  for (double lambda : to_vector(lambdas)) check_lambda("aldr_kl", lambda);
  copy_data(lambdas.detach(), lambdas_);
}

}  // namespace plumb::methods::ldr
