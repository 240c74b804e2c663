// Operations that write to their first argument. Outside recording they run in place; inside it is the plain operation, assigned.
#include "engine/autograd/inplace.h"

#include <cmath>

#include "engine/core/data_kernels.h"
#include "ops/pointwise.h"
#include "ops/pointwise_call.h"
#include "ops/shape.h"

namespace plumb {

static void binary_(const char* name, BinaryOp op, Tensor& a, const Tensor& b, Tensor (*plain)(const Tensor&, const Tensor&)) {
  check_writable(name, a);
  if (broadcast_shapes(name, a.shape(), b.shape()) != a.shape())
    throw ShapeError(std::string(name) + ": " + to_string(b.shape()) + " does not fit into " + to_string(a.shape()));
  detail::check_holds(name, a, is_floating(b.dtype()) || op == BinaryOp::div);
  detail::check_numbers(name, a.dtype());
  bool shared = a.impl()->storage == b.impl()->storage;
  if (write_is_recorded(a) || (grad_enabled() && b.requires_grad()))  // what `plain` saves of b must not be overwritten
    return assign(name, a, to(plain(recorded_value(a), shared ? clone(b) : b), a.dtype()));
  detail::check_same_device(name, a, b);
  NoGrad off;
  bool overlaps = shared && (a.raw_data() != b.raw_data() || a.strides() != b.strides() || a.shape() != b.shape());
  if (overlaps) return binary_(name, op, a, clone(b), plain);  // elements must be read before they are written
  kernel::binary(a.device(), op, a, broadcast_view(name, to(b, a.dtype()), a.shape()), a);
  a.impl()->storage->bump_version();
}

void add_(Tensor& a, const Tensor& b) { binary_("add_", BinaryOp::add, a, b, add); }
void sub_(Tensor& a, const Tensor& b) { binary_("sub_", BinaryOp::sub, a, b, sub); }
void mul_(Tensor& a, const Tensor& b) {
  // b's derivative needs a as it was, which is about to be overwritten: the product is taken of a copy.
  binary_("mul_", BinaryOp::mul, a, b, [](const Tensor& x, const Tensor& y) { return y.requires_grad() ? mul(clone(x), y) : mul(x, y); });
}
void div_(Tensor& a, const Tensor& b) { binary_("div_", BinaryOp::div, a, b, div); }

static void scalar_(const char* name, UnaryOp op, Tensor& a, Scalar b, Tensor (*plain)(const Tensor&, Scalar)) {
  check_writable(name, a);
  detail::check_holds(name, a, b.value() != std::trunc(b.value()));
  detail::check_numbers(name, a.dtype());
  if (write_is_recorded(a)) return assign(name, a, plain(recorded_value(a), b));
  kernel::unary(a.device(), op, a, b.value(), 0, a);
  a.impl()->storage->bump_version();
}
void add_(Tensor& a, Scalar b) { scalar_("add_", UnaryOp::add_scalar, a, b, add); }
void mul_(Tensor& a, Scalar b) { scalar_("mul_", UnaryOp::mul_scalar, a, b, mul); }

void fill_(Tensor& a, Scalar value) {
  check_writable("fill_", a);
  if (write_is_recorded(a)) return assign("fill_", a, full(a.shape(), value, a.dtype(), a.device()));
  kernel::fill(a.device(), value, a);
  a.impl()->storage->bump_version();
}
void zero_(Tensor& a) { fill_(a, 0); }

void copy_(Tensor& target, const Tensor& source) {
  check_writable("copy_", target);
  bool recorded = write_is_recorded(target) || (grad_enabled() && source.requires_grad());
  if (!recorded) {
    broadcast_view("copy_", source, target.shape());  // throws before anything is written
    return copy_data(source, target);
  }
  assign("copy_", target, expand(to(source, target.dtype()), target.shape()));
}

void masked_fill_(Tensor& a, const Tensor& condition, Scalar value) {
  check_writable("masked_fill_", a);
  detail::check_holds("masked_fill_", a, value.value() != std::trunc(value.value()));
  Tensor filled = where(condition, scalar_tensor(value, a.dtype(), a.device()), recorded_value(a));
  if (filled.shape() != a.shape())
    throw ShapeError("masked_fill_: the mask " + to_string(condition.shape()) + " does not fit into " + to_string(a.shape()));
  assign("masked_fill_", a, filled);
}

}  // namespace plumb
