// Dropout is linear: its derivative is the same mask applied to dy.
#include "ops/dropout.h"

#include "engine/autograd/record.h"
#include "engine/core/generator.h"
#include "ops/kernels/dropout.h"

namespace plumb {

static Tensor masked(const Tensor& x, double p, uint64_t seed, uint64_t counter) {
  Tensor y = empty_like(x, "dropout");
  kernel::dropout(x.device(), contiguous_data(x), p, seed, counter, y);
  return record("dropout", y, {x}, saving(), [=](const Grads& dy, const Saved&, Needs) -> Grads { return masked(dy[0], p, seed, counter); });
}

Tensor dropout(const Tensor& x, double p) {
  if (!(p >= 0 && p < 1)) throw ValueError("dropout: the probability must lie in [0, 1), it is " + std::to_string(p));
  if (p == 0) return x;
  Generator& generator = default_generator();
  return masked(x, p, generator.seed(), generator.take(static_cast<uint64_t>((x.numel() + 3) / 4)));
}

}  // namespace plumb
