// Losses that wrong labels move less than the cross-entropy: all are functions of log p_y = −CE.
#include "methods/common/noisy_label_losses.h"

#include <fmt/format.h>

#include "engine/core/error.h"
#include "ops/elementary.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"

namespace plumb::methods {
namespace {

Tensor each(const Tensor& logits, const Tensor& labels) { return cross_entropy(logits, labels, {.reduction = Reduction::none}); }

}  // namespace

Tensor generalized_cross_entropy(const Tensor& logits, const Tensor& labels, double q) {
  if (!(q > 0 && q <= 1)) throw ValueError(fmt::format("generalized_cross_entropy: q must lie in (0, 1], it is {}", q));
  return mean(expm1(-q * each(logits, labels))) * (-1 / q);
}

Tensor symmetric_cross_entropy(const Tensor& logits, const Tensor& labels, const SymmetricOptions& o) {
  Tensor loss = each(logits, labels);
  return mean(o.alpha * loss + (o.beta * o.log_zero) * expm1(-loss));
}

Tensor absolute_error(const Tensor& logits, const Tensor& labels) { return mean(-expm1(-each(logits, labels))); }

}  // namespace plumb::methods
