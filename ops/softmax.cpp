// Softmax, shifted by the row's maximum, so that nothing overflows. Forward and backward are one fused pass each.
#include "ops/softmax.h"

#include <limits>

#include "engine/autograd/record.h"
#include "ops/elementary.h"
#include "ops/kernels/softmax.h"
#include "ops/pointwise.h"
#include "ops/pointwise_call.h"
#include "ops/reduce.h"

namespace plumb {
namespace {

// x's elements as [outer, n, inner] around dimension `dim`.
Tensor around_dim(const Tensor& x, int dim) {
  const Shape& s = x.shape();
  if (s.rank() == 0) return view_of(x, {1, 1, 1}, {1, 1, 1}, 0);
  Shape seen{numel(s.slice(0, dim)), s[dim], numel(s.slice(dim + 1, s.rank()))};
  return view_of(x, seen, contiguous_strides(seen), 0);
}

// y = softmax(x / τ):      dx = y (dy − ⟨dy, y⟩) / τ
// y = log softmax(x / τ):  dx = (dy − e^y Σ dy) / τ
Tensor softmax_derivative(const Tensor& dy, const Tensor& y, int dim, double scale, bool logarithm) {
  if (grad_enabled()) {
    if (logarithm) return (dy - exp(y) * sum(dy, {dim}, true)) * scale;
    return y * (dy - sum(dy * y, {dim}, true)) * scale;
  }
  Tensor dx = empty_like(y, "softmax_backward"), seen = around_dim(dx, dim);
  kernel::softmax_backward(y.device(), around_dim(contiguous_data(dy), dim), around_dim(y, dim), scale, logarithm, seen);
  return dx;
}

Tensor softmax(const char* name, const Tensor& input, int dim, double temperature, bool logarithm) {
  Tensor x = detail::floating(input);
  dim = checked_dim(name, dim, x.rank());
  if (!(temperature > 0)) throw ValueError(std::string(name) + ": the temperature must be positive, it is " + decimal(temperature));
  double scale = 1 / temperature;
  Tensor y = empty_like(x, name), seen = around_dim(y, dim);
  kernel::softmax(x.device(), around_dim(contiguous_data(x), dim), scale, logarithm, seen);
  return record(name, y, {x}, saving(y),
                [=](const Grads& dy, const Saved& s, Needs) -> Grads { return softmax_derivative(dy[0], s[0], dim, scale, logarithm); });
}

Tensor masked(const Tensor& x, const Tensor& mask) { return where(mask, detail::floating(x), -std::numeric_limits<double>::infinity()); }

void check_mask(const char* name, const Tensor& x, const Tensor& mask) {
  if (broadcast_shapes(name, x.shape(), mask.shape()) != x.shape())
    throw ShapeError(std::string(name) + ": the mask " + to_string(mask.shape()) + " does not broadcast to x " + to_string(x.shape()));
}

}  // namespace

Tensor softmax(const Tensor& x, int dim, double temperature) { return softmax("softmax", x, dim, temperature, false); }
Tensor log_softmax(const Tensor& x, int dim, double temperature) { return softmax("log_softmax", x, dim, temperature, true); }
Tensor masked_softmax(const Tensor& x, const Tensor& mask, int dim, double temperature) {
  check_mask("masked_softmax", x, mask);
  return softmax("masked_softmax", masked(x, mask), dim, temperature, false);
}
Tensor masked_log_softmax(const Tensor& x, const Tensor& mask, int dim, double temperature) {
  check_mask("masked_log_softmax", x, mask);
  return softmax("masked_log_softmax", masked(x, mask), dim, temperature, true);
}

}  // namespace plumb
