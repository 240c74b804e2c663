// Interpolating pairs of examples.
#include "methods/common/mixing.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/core/error.h"
#include "models/augment/augment.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/softmax.h"

namespace plumb::methods {
namespace {

void check_share(const char* name, double lambda) {
  if (!(lambda >= 0 && lambda <= 1)) throw ValueError(fmt::format("{}: lambda must lie in [0, 1], it is {}", name, lambda));
}

}  // namespace

double dominant_share(double lambda, double least) {
  check_share("dominant_share", lambda);
  if (!(least >= 0 && least <= 1)) throw ValueError(fmt::format("dominant_share: the least share must lie in [0, 1], it is {}", least));
  return std::max({lambda, 1 - lambda, least});
}

double sample_mix_coefficient(Generator& generator, const MixOptions& o) {
  if (!(o.least <= 1)) throw ValueError(fmt::format("sample_mix_coefficient: the least share must be at most 1, it is {}", o.least));
  double lambda = augment::beta_number(o.a, o.b, generator);
  return o.least < 0 ? lambda : dominant_share(lambda, o.least);
}

Tensor mix(const Tensor& x, const Tensor& order, double lambda) {
  check_share("mix", lambda);
  if (x.rank() < 1 || order.rank() != 1 || order.size(0) != x.size(0))
    throw ShapeError(fmt::format("mix: an order {} for examples {}", to_string(order.shape()), to_string(x.shape())));
  return lambda * x + (1 - lambda) * index_select(x, 0, order);
}

Tensor mixup_cross_entropy(const Tensor& logits, const Tensor& first, const Tensor& second, double lambda) {
  check_share("mixup_cross_entropy", lambda);
  return lambda * cross_entropy(logits, first) + (1 - lambda) * cross_entropy(logits, second);
}

Tensor softmax_mse(const Tensor& a, const Tensor& b) {
  if (a.rank() != 2 || a.shape() != b.shape())
    throw ShapeError(fmt::format("softmax_mse: logits {} and {}", to_string(a.shape()), to_string(b.shape())));
  Tensor difference = softmax(a, 1) - softmax(b, 1);
  return mean(difference * difference);
}

}  // namespace plumb::methods
