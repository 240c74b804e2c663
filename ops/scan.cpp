// Running sums, products and linear recurrences, each the derivative of another.
#include "ops/scan.h"

#include "engine/autograd/record.h"
#include "ops/join.h"
#include "ops/kernels/scan.h"
#include "ops/pointwise.h"
#include "ops/pointwise_call.h"
#include "ops/reduce_call.h"
#include "ops/shape.h"

namespace plumb {
namespace {

Tensor cumulated(const char* op, const Tensor& x, int dim, bool product, bool reverse) {
  Tensor y = empty(x.shape(), x.dtype(), x.device(), op), planes = detail::around_dim(y, dim);
  if (y.numel() > 0) kernel::cumulate(x.device(), detail::around_dim(x, dim), product, reverse, planes);
  return y;
}

Tensor numbers(const Tensor& x) { return is_floating(x.dtype()) ? x : to(x, i64); }

// y = the running sum,   dx = the running sum of dy from the other end
Tensor running_sum(const Tensor& x, int dim, bool reverse) {
  return record("cumsum", cumulated("cumsum", x, dim, false, reverse), {x}, saving(),
                [=](const Grads& dy, const Saved&, Needs) -> Grads { return running_sum(dy[0], dim, !reverse); });
}

// x moved by one place in running order, its first place filled with `first`.
Tensor delayed(const Tensor& x, int dim, bool reverse, double first) {
  int64_t n = x.shape()[dim];
  Shape shape = x.shape();
  shape[dim] = std::min<int64_t>(1, n);
  Tensor filling = full(shape, first, x.dtype(), x.device());
  return reverse ? cat({slice(x, dim, 1), filling}, dim) : cat({filling, slice(x, dim, 0, std::max<int64_t>(0, n - 1))}, dim);
}

}  // namespace

Tensor cumsum(const Tensor& x, int dim) { return running_sum(numbers(x), checked_dim("cumsum", dim, x.rank()), false); }

// y_t = x_t y_{t−1}. With λ_t = dy_t + x_{t+1} λ_{t+1} (all that depends on y_t):   dx_t = λ_t y_{t−1}
Tensor cumprod(const Tensor& input, int dim) {
  dim = checked_dim("cumprod", dim, input.rank());
  Tensor x = numbers(input);
  if (x.rank() == 0) return x.same_as(input) ? clone(x) : x;
  Tensor y = cumulated("cumprod", x, dim, true, false);
  return record("cumprod", y, {x}, saving(x, y), [dim](const Grads& dy, const Saved& s, Needs) -> Grads {
    return linear_scan(delayed(s[0], dim, true, 0), dy[0], dim, true) * delayed(s[1], dim, false, 1);
  });
}

// h_t = a_t h_{t−1} + b_t. With λ_t = dh_t + a_{t+1} λ_{t+1}:   db_t = λ_t,   da_t = λ_t h_{t−1}
Tensor linear_scan(const Tensor& left, const Tensor& right, int dim, bool reverse) {
  detail::check_same_device("linear_scan", left, right);
  DType t = promote(left.dtype(), right.dtype()), working = t == f64 ? f64 : f32;
  if (!is_floating(t)) throw DTypeError("linear_scan: takes floating tensors, not " + std::string(name(t)));
  Shape shape = broadcast_shapes("linear_scan", left.shape(), right.shape());
  dim = checked_dim("linear_scan", dim, shape.rank());
  Tensor a = expand(to(left, working), shape), b = expand(to(right, working), shape);
  Tensor h = empty(shape, working, a.device(), "linear_scan");
  if (h.numel() > 0) {
    Tensor planes = detail::around_dim(h, dim);
    kernel::linear_scan(a.device(), detail::around_dim(a, dim), detail::around_dim(b, dim), reverse, planes);
  }
  if (shape.rank() == 0) return to(b, t);
  h = record("linear_scan", h, {a, b}, saving(a, b.requires_grad() || a.requires_grad() ? h : Tensor()),
             [dim, reverse](const Grads& dh, const Saved& s, Needs needs) -> Grads {
               Tensor adjoint = linear_scan(delayed(s[0], dim, !reverse, 0), dh[0], dim, !reverse);
               return {needs[0] ? adjoint * delayed(s[1], dim, reverse, 0) : Tensor(), needs[1] ? adjoint : Tensor()};
             });
  return to(h, t);
}

}  // namespace plumb
