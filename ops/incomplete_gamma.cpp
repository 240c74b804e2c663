// Incomplete gamma functions and their derivatives.
#include "ops/incomplete_gamma.h"

#include <string>

#include "engine/autograd/record.h"
#include "ops/elementary.h"
#include "ops/kernels/incomplete_gamma.h"
#include "ops/pointwise.h"
#include "ops/pointwise_call.h"
#include "ops/shape.h"

namespace plumb {
namespace {

// ∂ᵏ/∂aᵏ of the gamma density p = x^(a − 1) e^(−x) / Γ(a), which is ∂P/∂x: with L = log x − ψ(a),
//   p,   p L,   p (L² − ψ′(a)),   p (L³ − 3 L ψ′(a) − ψ″(a))
Tensor density(const Tensor& a, const Tensor& x, int order) {
  Tensor p = exp(xlogy(a - 1, x) - x - lgamma(a));
  if (order == 0) return p;
  Tensor l = log(x) - digamma(a);
  if (order == 1) return p * l;
  if (order == 2) return p * (square(l) - polygamma(1, a));
  return p * (square(l) * l - l * polygamma(1, a) * 3 - polygamma(2, a));
}

// ∂ᵏP/∂aᵏ or that of Q; a, x f64 of one shape.   d = (order + 1 in a) da ± (density's order-th derivative) dx
Tensor in_a(const Tensor& a, const Tensor& x, bool upper, int order) {
  Tensor out = empty(a.shape(), f64, a.device(), "igamma");
  kernel::incomplete_gamma(a.device(), contiguous_data(a), contiguous_data(x), upper, order, out);
  return record("igamma", out, {a, x}, saving(a, x), [upper, order](const Grads& dy, const Saved& s, Needs needs) -> Grads {
    Tensor a = s[0], x = s[1], da, dx;
    if (needs[0]) {
      if (order == 3) throw AutogradError("igamma: the fourth derivative in a is not there");
      da = dy[0] * in_a(a, x, upper, order + 1);
    }
    if (needs[1]) dx = dy[0] * density(a, x, order) * (upper ? -1.0 : 1.0);
    return {da, dx};
  });
}

Tensor incomplete_gamma(const char* op, const Tensor& a, const Tensor& x, bool upper) {
  for (const Tensor& t : {a, x})
    if (!is_floating(t.dtype())) unsupported_dtype(op, t.dtype());
  detail::check_same_device(op, a, x);
  DType type = promote(a.dtype(), x.dtype());
  Shape shape = broadcast_shapes(op, a.shape(), x.shape());
  return to(in_a(expand(to(a, f64), shape), expand(to(x, f64), shape), upper, 0), type);
}

}  // namespace

Tensor igamma(const Tensor& a, const Tensor& x) { return incomplete_gamma("igamma", a, x, false); }
Tensor igammac(const Tensor& a, const Tensor& x) { return incomplete_gamma("igammac", a, x, true); }

}  // namespace plumb
