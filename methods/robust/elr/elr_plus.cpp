// The parts of ELR+ that know nothing of networks.
#include "methods/robust/elr/elr_plus.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/core/error.h"
#include "models/augment/augment.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::elr {

Mixing draw_mixing(int64_t batch, double alpha, Generator& generator) {
  if (!(alpha >= 0)) throw ValueError(fmt::format("elr: mixup's alpha must not be negative, it is {}", alpha));
  double share = alpha > 0 ? augment::beta_number(alpha, alpha, generator) : 1;
  return {std::max(share, 1 - share), randperm(batch, {.dtype = i64, .generator = &generator})};
}

Tensor mix(const Tensor& x, const Mixing& mixing) {
  if (mixing.share == 1) return x;
  return mixing.share * x + (1 - mixing.share) * index_select(x, 0, mixing.permutation);
}

Tensor elr_plus_loss(const Tensor& logits, const Tensor& mixed_labels, const Tensor& mixed_targets, double weight, double clamp) {
  Tensor loss = cross_entropy(logits, mixed_labels.detach());
  return weight == 0 ? loss : loss + weight * elr_regularizer(logits, mixed_targets, clamp);
}

Tensor weighted_labels(const Tensor& mixed_labels, const Tensor& mixed_targets) {
  Tensor product = mixed_labels * mixed_targets;
  return product / clamp_min(sum(product, {1}, true), 1e-12);
}

Tensor one_hot_rows(const Tensor& labels, int64_t classes) { return to(one_hot(labels, classes), f32); }

}  // namespace plumb::methods::elr
