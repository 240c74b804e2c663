// ConR.
#include "methods/robust/conr/conr.h"

#include <fmt/format.h>

#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "engine/core/error.h"
#include "methods/common/label_density.h"
#include "methods/common/masked_contrastive.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::conr {
namespace {

void check_options(const ConrOptions& o) {
  if (!(o.tau > 0)) throw ValueError(fmt::format("conr: tau must be positive, it is {}", o.tau));
  if (!(o.omega >= 0)) throw ValueError(fmt::format("conr: omega must not be negative, it is {}", o.omega));
  if (!std::isfinite(o.e)) throw ValueError(fmt::format("conr: e must be finite, it is {}", o.e));
  if (o.push == Push::linear && o.e < 0) throw ValueError(fmt::format("conr: e must not be negative with a linear push, it is {}", o.e));
}

void check_rows(const char* what, const Tensor& x, int64_t rows) {
  if (x.rank() < 1 || x.rank() > 2 || x.size(0) != rows)
    throw ShapeError(fmt::format("conr: {} {} for {} features", what, to_string(x.shape()), rows));
  if (any(isnan(x)).item() != 0) throw ValueError(fmt::format("conr: {} hold a NaN", what));
}

void check_inputs(const Tensor& features, const Tensor& targets, const Tensor& predictions, const Tensor& weights) {
  if (features.rank() != 2) throw ShapeError(fmt::format("conr: features {} must be [M, D]", to_string(features.shape())));
  int64_t m = features.size(0);
  if (m < 2) throw ValueError(fmt::format("conr: a batch of {}; it takes two to compare", m));
  check_rows("targets", targets, m);
  check_rows("predictions", predictions, m);
  if (targets.shape() != predictions.shape())
    throw ShapeError(fmt::format("conr: targets {} for predictions {}", to_string(targets.shape()), to_string(predictions.shape())));
  if (!weights.defined()) return;
  if (weights.shape() != Shape{m}) throw ShapeError(fmt::format("conr: weights {} for {} features", to_string(weights.shape()), m));
  if (any(weights < 0).item() != 0 || any(isnan(weights)).item() != 0) throw ValueError("conr: weights must not be negative");
}

// Σ_k |x_ik − x_jk|: [M, M].
Tensor distances(const Tensor& x) {
  Tensor d = abs(unsqueeze(x, 1) - unsqueeze(x, 0));
  return x.rank() == 2 ? sum(d, {2}) : d;
}

// log S.
Tensor log_push(const Tensor& distance, const ConrOptions& o, const Tensor& weights) {
  Tensor push = o.push == Push::exponential ? distance * o.e : log(distance * o.e);
  return weights.defined() ? push + unsqueeze(log(to(weights, distance.dtype())), 1) : push;
}

}  // namespace

Tensor conr_anchors(const Tensor& features, const Tensor& targets, const Tensor& predictions, const ConrOptions& o, const Tensor& weights) {
  check_options(o);
  check_inputs(features, targets, predictions, weights);
  MaskedContrastive pairs;
  Tensor active;
  {
    NoGrad no_grad;
    int64_t m = features.size(0);
    Tensor distance = distances(to(targets.detach(), features.dtype()));
    Tensor similar = distance <= o.omega;
    pairs.positive = logical_and(similar, logical_not(eye(m, -1, DType::boolean, features.device())));
    pairs.negative = logical_and(logical_not(similar), distances(to(predictions.detach(), features.dtype())) <= o.omega);
    pairs.negative_log_weight = log_push(distance, o, weights);
    if (o.denominator == Denominator::code) pairs.extra = log(static_cast<double>(m) - to(sum(pairs.positive, {1}), features.dtype()));
    active = any(pairs.negative, {1});
  }
  return where(active, masked_contrastive(cosine_similarities(features, o.tau), pairs), 0.0);
}

Tensor conr_loss(const Tensor& features, const Tensor& targets, const Tensor& predictions, const ConrOptions& o, const Tensor& weights) {
  Tensor anchors = conr_anchors(features, targets, predictions, o, weights);
  return mean(weights.defined() && o.weigh_anchors ? anchors * to(weights.detach(), anchors.dtype()) : anchors);
}

Tensor conr_objective(const Tensor& features, const Tensor& targets, const Tensor& predictions, double beta, const ConrOptions& o,
                      const Tensor& weights) {
  if (!(beta >= 0)) throw ValueError(fmt::format("conr: beta must not be negative, it is {}", beta));
  check_options(o);
  check_inputs(features, targets, predictions, weights);
  Tensor regression = weighted_l1(predictions, targets, weights);
  return beta == 0 ? regression : regression + conr_loss(features, targets, predictions, o, weights) * beta;
}

}  // namespace plumb::methods::conr
