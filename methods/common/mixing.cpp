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
#include "ops/shape.h"
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

void check_shares(const char* op, const Tensor& lambda, int64_t examples) {
  if (lambda.rank() != 1 || lambda.size(0) != examples || !is_floating(lambda.dtype()))
    throw ShapeError(fmt::format("{}: needs one lambda for each of {} examples, got {}", op, examples, to_string(lambda.shape())));
  auto shares = to_vector(lambda.detach());
  for (size_t i = 0; i < shares.size(); ++i)
    if (!(shares[i] >= 0 && shares[i] <= 1))
      throw ValueError(fmt::format("{}: lambda must lie in [0, 1], number {} is {}", op, i, shares[i]));
}

Tensor mix_pairs(const Tensor& a, const Tensor& b, const Tensor& lambda) {
  if (a.rank() < 1 || a.shape() != b.shape())
    throw ShapeError(fmt::format("mix_pairs: examples {} and {}", to_string(a.shape()), to_string(b.shape())));
  check_shares("mix_pairs", lambda, a.size(0));
  Shape column{a.size(0)};
  for (int dim = 1; dim < a.rank(); ++dim) column.push_back(1);
  Tensor share = reshape(to(lambda, a.dtype()), column);
  return share * a + (1 - share) * b;
}

Tensor mixed_targets(const Tensor& first, const Tensor& second, const Tensor& lambda, int64_t classes) {
  for (const Tensor* labels : {&first, &second})
    if (labels->rank() != 1 || labels->size(0) != first.size(0) || labels->dtype() != i64)
      throw ShapeError(
          fmt::format("mixed_targets: labels {} and {} must both be i64 [N]", to_string(first.shape()), to_string(second.shape())));
  check_shares("mixed_targets", lambda, first.size(0));
  Tensor share = unsqueeze(lambda, 1);
  return share * to(one_hot(first, classes), lambda.dtype()) + (1 - share) * to(one_hot(second, classes), lambda.dtype());
}

Tensor softmax_mse(const Tensor& a, const Tensor& b) {
  if (a.rank() != 2 || a.shape() != b.shape())
    throw ShapeError(fmt::format("softmax_mse: logits {} and {}", to_string(a.shape()), to_string(b.shape())));
  Tensor difference = softmax(a, 1) - softmax(b, 1);
  return mean(difference * difference);
}

}  // namespace plumb::methods
