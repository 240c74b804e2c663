// Complex arithmetic, in operations on real and imaginary parts.
#include "ops/complex.h"

#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb {
namespace {

void check_complex(const char* op, const Tensor& x) {
  if (x.rank() < 1 || x.size(-1) != 2)
    throw ShapeError(std::string(op) + ": takes complex numbers as a last axis of 2, not " + to_string(x.shape()));
}

}  // namespace

Tensor complex_mul(const Tensor& x, const Tensor& y) {
  check_complex("complex_mul", x);
  check_complex("complex_mul", y);
  Tensor a = select(x, -1, 0), b = select(x, -1, 1), c = select(y, -1, 0), d = select(y, -1, 1);
  return stack({a * c - b * d, a * d + b * c}, -1);
}

Tensor complex_conj(const Tensor& x) {
  check_complex("complex_conj", x);
  return x * to(tensor({1.0, -1.0}, x.dtype()), x.device());
}

Tensor complex_abs(const Tensor& x) {
  check_complex("complex_abs", x);
  return norm(x, 2, {-1});
}

}  // namespace plumb
