// Complex arithmetic.
#include "ops/complex.h"

#include <string>

#include "engine/autograd/record.h"
#include "ops/kernels/complex.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb {
namespace {

void check_complex(const char* op, const Tensor& x) {
  if (x.rank() < 1 || x.size(-1) != 2)
    throw ShapeError(std::string(op) + ": takes complex numbers as a last axis of 2, not " + to_string(x.shape()));
}

// y = a b:   da = dy b̄,  db = dy ā.      y = a b̄:   da = dy b,  db = a dȳ
Tensor product(const char* op, const Tensor& left, const Tensor& right, bool conjugate) {
  check_complex(op, left);
  check_complex(op, right);
  if (left.device() != right.device()) throw DeviceError(std::string(op) + ": the operands are on different devices");
  DType t = promote(left.dtype(), right.dtype());
  if (!is_floating(t)) throw DTypeError(std::string(op) + ": takes floating tensors, not " + std::string(name(t)));
  Tensor a = to(left, t), b = to(right, t);
  Shape shape = broadcast_shapes(op, a.shape(), b.shape());
  Tensor y = empty(shape, t, a.device(), op);
  if (y.numel() > 0) kernel::complex_mul(y.device(), broadcast_view(op, a, shape), broadcast_view(op, b, shape), conjugate, y);
  return record("complex_mul", y, {a, b}, saving(a, b), [conjugate](const Grads& dy, const Saved& s, Needs needs) -> Grads {
    Tensor x = s[0], z = s[1], dx, dz;
    if (needs[0]) dx = sum_to(product("complex_mul", dy[0], z, !conjugate), x.shape());
    if (needs[1]) dz = sum_to(conjugate ? product("complex_mul", x, dy[0], true) : product("complex_mul", dy[0], x, true), z.shape());
    return {dx, dz};
  });
}

}  // namespace

Tensor complex_mul(const Tensor& x, const Tensor& y) { return product("complex_mul", x, y, false); }
Tensor complex_mul_conj(const Tensor& x, const Tensor& y) { return product("complex_mul_conj", x, y, true); }

Tensor complex_conj(const Tensor& x) {
  check_complex("complex_conj", x);
  return x * to(tensor({1.0, -1.0}, x.dtype()), x.device());
}

Tensor complex_abs(const Tensor& x) {
  check_complex("complex_abs", x);
  return norm(x, 2, {-1});
}

}  // namespace plumb
