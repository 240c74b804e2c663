// Gradient reversal.
#include "ops/gradient_reversal.h"

#include "engine/autograd/record.h"
#include "engine/core/data_kernels.h"
#include "ops/pointwise.h"

namespace plumb {

// y = x,   dx = −λ dy. A copy, so that a write in place to one is not a write to the other.
Tensor gradient_reversal(const Tensor& x, double lambda) {
  Tensor y = empty_like(x, "gradient_reversal");
  kernel::copy(x.device(), x, y);
  return record("gradient_reversal", y, {x}, saving(), [lambda](const Grads& dy, const Saved&, Needs) -> Grads { return dy[0] * -lambda; });
}

}  // namespace plumb
