// Dropout is linear up to a constant: its derivative is the same mask, scaled alike, applied to dy.
#include "ops/dropout.h"

#include <cmath>

#include "engine/autograd/record.h"
#include "engine/core/generator.h"
#include "ops/kernels/dropout.h"
#include "ops/pointwise_call.h"

namespace plumb {
namespace {

// y = x scale + shift where kept, else a constant:   dx = dy scale where kept, else 0
Tensor masked(const char* name, const Tensor& x, DropoutDraw draw, DropoutValues values) {
  Tensor y = empty_like(x, name);
  kernel::dropout(x.device(), contiguous_data(x), draw, values, y);
  return record(name, y, {x}, saving(), [=](const Grads& dy, const Saved&, Needs) -> Grads {
    return masked(name, dy[0], draw, {values.scale, 0, 0});
  });
}

Tensor drawn(const char* name, const Tensor& input, double p, int64_t share, DropoutValues values) {
  if (!(p >= 0 && p < 1)) throw ValueError(std::string(name) + ": the probability must lie in [0, 1), it is " + decimal(p));
  Tensor x = detail::floating(input);
  if (p == 0) return x;
  Generator& generator = default_generator();
  int64_t draws = x.numel() / std::max<int64_t>(1, share);
  uint64_t seed = generator.seed(), counter = generator.take(static_cast<uint64_t>((draws + 3) / 4));
  return masked(name, x, {p, seed, counter, share}, values);
}

}  // namespace

Tensor dropout(const Tensor& x, double p) { return drawn("dropout", x, p, 1, {1 / (1 - p), 0, 0}); }

Tensor feature_dropout(const Tensor& x, double p) {
  if (x.rank() < 2) throw ShapeError("feature_dropout: x must be [n, channels, ..], it is " + to_string(x.shape()));
  return drawn("feature_dropout", x, p, numel(x.shape().slice(2, x.rank())), {1 / (1 - p), 0, 0});
}

// With q = 1 − p and the limit l: variance of the mixture is q (1 + l² p), its mean p l.
Tensor alpha_dropout(const Tensor& x, double p) {
  constexpr double kLimit = -1.7580993408473766;  // −λα of SELU
  double a = 1 / std::sqrt((1 - p) * (1 + kLimit * kLimit * p)), b = -a * p * kLimit;
  return drawn("alpha_dropout", x, p, 1, {a, b, a * kLimit + b});
}

}  // namespace plumb
