// Contrastive losses with masks.
#include "methods/common/masked_contrastive.h"

#include <fmt/format.h>

#include <limits>

#include "engine/autograd/grad_mode.h"
#include "engine/core/error.h"
#include "ops/create.h"
#include "ops/join.h"
#include "ops/matmul.h"
#include "ops/normalize.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods {
namespace {

constexpr double kNone = -std::numeric_limits<double>::infinity();

void check_mask(const char* what, const Tensor& mask, const Shape& shape) {
  if (!mask.defined() || mask.shape() != shape)
    throw ShapeError(fmt::format("masked_contrastive: {} {} for similarities {}", what,
                                 mask.defined() ? to_string(mask.shape()) : "undefined", to_string(shape)));
  if (mask.dtype() != DType::boolean) throw DTypeError(fmt::format("masked_contrastive: {} must be bool", what));
}

void check_pairs(const Tensor& s, const MaskedContrastive& pairs) {
  if (s.rank() != 2) throw ShapeError(fmt::format("masked_contrastive: similarities {} must be [M, K]", to_string(s.shape())));
  check_mask("positives", pairs.positive, s.shape());
  check_mask("negatives", pairs.negative, s.shape());
  if (any(logical_and(pairs.positive, pairs.negative)).item() != 0)
    throw ValueError("masked_contrastive: a pair is both positive and negative");
  if (pairs.negative_log_weight.defined() && pairs.negative_log_weight.shape() != s.shape())
    throw ShapeError(fmt::format("masked_contrastive: weights {} for similarities {}", to_string(pairs.negative_log_weight.shape()),
                                 to_string(s.shape())));
  if (pairs.extra.defined() && pairs.extra.shape() != Shape{s.size(0)})
    throw ShapeError(fmt::format("masked_contrastive: extra {} for similarities {}", to_string(pairs.extra.shape()), to_string(s.shape())));
}

}  // namespace

Tensor masked_contrastive(const Tensor& s, const MaskedContrastive& pairs) {
  check_pairs(s, pairs);
  Tensor weighted = pairs.negative_log_weight.defined() ? s + to(pairs.negative_log_weight.detach(), s.dtype()) : s;
  std::vector<Tensor> terms{where(pairs.positive, s, kNone), where(pairs.negative, weighted, kNone)};
  if (pairs.extra.defined()) terms.push_back(unsqueeze(to(pairs.extra.detach(), s.dtype()), 1));
  Tensor denominator = logsumexp(cat(terms, 1), {1});
  Tensor number = to(sum(pairs.positive, {1}), s.dtype());  // |P_i|
  Tensor numerator = sum(where(pairs.positive, s, 0.0), {1}) / clamp_min(number, 1);
  return where(number > 0, denominator - numerator, 0.0);
}

Tensor decoupled_contrastive(const Tensor& positive, const Tensor& s, const Tensor& negative, const Tensor& extra) {
  if (s.rank() != 2 || positive.shape() != Shape{s.size(0)})
    throw ShapeError(
        fmt::format("decoupled_contrastive: positives {} for similarities {}", to_string(positive.shape()), to_string(s.shape())));
  check_mask("negatives", negative, s.shape());
  if (extra.defined() && extra.shape() != positive.shape())
    throw ShapeError(fmt::format("decoupled_contrastive: extra {} for similarities {}", to_string(extra.shape()), to_string(s.shape())));
  Tensor terms = where(negative, s, kNone);
  if (extra.defined()) return logsumexp(cat({terms, unsqueeze(to(extra.detach(), s.dtype()), 1)}, 1), {1}) - positive;
  return where(any(negative, {1}), logsumexp(terms, {1}), 0.0) - positive;
}

Tensor cosine_similarities(const Tensor& rows, double temperature) {
  if (rows.rank() != 2) throw ShapeError(fmt::format("cosine_similarities: {} must be [M, D]", to_string(rows.shape())));
  if (!(temperature > 0)) throw ValueError(fmt::format("cosine_similarities: the temperature must be positive, it is {}", temperature));
  Tensor unit = normalize(rows);
  return matmul(unit, mT(unit)) / temperature;
}

Tensor supervised_contrastive(const Tensor& features, const Tensor& labels, double temperature) {
  Tensor s = cosine_similarities(features, temperature);
  int64_t m = s.size(0);
  if (labels.shape() != Shape{m})
    throw ShapeError(
        fmt::format("supervised_contrastive: labels {} for features {}", to_string(labels.shape()), to_string(features.shape())));
  Tensor same = unsqueeze(labels, 1) == unsqueeze(labels, 0), self = eye(m, -1, DType::boolean);
  Tensor positive = logical_and(same, logical_not(self));
  Tensor rows = masked_contrastive(s, {.positive = positive, .negative = logical_not(same)});
  Tensor anchors = to(any(positive, {1}), s.dtype());
  return sum(rows * anchors) / clamp_min(sum(anchors), 1);
}

}  // namespace plumb::methods
