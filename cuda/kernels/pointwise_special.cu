// Functions of one tensor that are rare and long: inverse and hyperbolic ones, powers, the gamma and error functions. Bound: arithmetic,
// much of it in double. 16-bit types go through f32, which keeps the number of kernels down.
#include "cuda/kernels/pointwise.h"
#include "engine/core/data_kernels.h"

namespace plumb::cuda_backend {
namespace {

template <typename S>
bool special_of(UnaryOp op, const Tensor& x, double a, double b, Tensor& y) {
  namespace f = function;
  switch (op) {
    case UnaryOp::tan: return apply_unary<f::Tan, S>(x, a, b, y);
    case UnaryOp::asin: return apply_unary<f::Asin, S>(x, a, b, y);
    case UnaryOp::acos: return apply_unary<f::Acos, S>(x, a, b, y);
    case UnaryOp::atan: return apply_unary<f::Atan, S>(x, a, b, y);
    case UnaryOp::sinh: return apply_unary<f::Sinh, S>(x, a, b, y);
    case UnaryOp::cosh: return apply_unary<f::Cosh, S>(x, a, b, y);
    case UnaryOp::asinh: return apply_unary<f::Asinh, S>(x, a, b, y);
    case UnaryOp::acosh: return apply_unary<f::Acosh, S>(x, a, b, y);
    case UnaryOp::atanh: return apply_unary<f::Atanh, S>(x, a, b, y);
    case UnaryOp::erfc: return apply_unary<f::Erfc, S>(x, a, b, y);
    case UnaryOp::erfinv: return apply_unary<f::Erfinv, S>(x, a, b, y);
    case UnaryOp::lgamma: return apply_unary<f::Lgamma, S>(x, a, b, y);
    case UnaryOp::digamma: return apply_unary<f::Digamma, S>(x, a, b, y);
    case UnaryOp::polygamma: return apply_unary<f::Polygamma, S>(x, a, b, y);
    case UnaryOp::pow_scalar: return apply_unary<f::PowScalar, S>(x, a, b, y);
    case UnaryOp::rpow_scalar: return apply_unary<f::RpowScalar, S>(x, a, b, y);
    default: return false;
  }
}

}  // namespace

bool special(UnaryOp op, const Tensor& x, double a, double b, Tensor& y) {
  if (x.dtype() == f64) return special_of<double>(op, x, a, b, y);
  if (x.dtype() == f32) return special_of<float>(op, x, a, b, y);
  Tensor wide = empty(x.shape(), f32, x.device(), "unary");
  kernel::copy(x.device(), x, wide);
  if (!special_of<float>(op, wide, a, b, wide)) return false;
  kernel::copy(x.device(), wide, y);
  return true;
}

}  // namespace plumb::cuda_backend
