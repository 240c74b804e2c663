// Elementary functions of one tensor. Bytes: x read once, y written once. Bound: memory, but for f64.
#include "cuda/kernels/pointwise.h"

namespace plumb::cuda_backend {
namespace {

template <typename S>
bool elementary_of(UnaryOp op, const Tensor& x, double a, double b, Tensor& y) {
  namespace f = function;
  switch (op) {
    case UnaryOp::sqrt: return apply_unary<f::Sqrt, S>(x, a, b, y);
    case UnaryOp::rsqrt: return apply_unary<f::Rsqrt, S>(x, a, b, y);
    case UnaryOp::reciprocal: return apply_unary<f::Reciprocal, S>(x, a, b, y);
    case UnaryOp::exp: return apply_unary<f::Exp, S>(x, a, b, y);
    case UnaryOp::exp2: return apply_unary<f::Exp2, S>(x, a, b, y);
    case UnaryOp::expm1: return apply_unary<f::Expm1, S>(x, a, b, y);
    case UnaryOp::log: return apply_unary<f::Log, S>(x, a, b, y);
    case UnaryOp::log2: return apply_unary<f::Log2, S>(x, a, b, y);
    case UnaryOp::log10: return apply_unary<f::Log10, S>(x, a, b, y);
    case UnaryOp::log1p: return apply_unary<f::Log1p, S>(x, a, b, y);
    case UnaryOp::sin: return apply_unary<f::Sin, S>(x, a, b, y);
    case UnaryOp::cos: return apply_unary<f::Cos, S>(x, a, b, y);
    case UnaryOp::tanh: return apply_unary<f::Tanh, S>(x, a, b, y);
    case UnaryOp::erf: return apply_unary<f::Erf, S>(x, a, b, y);
    default: return false;
  }
}

}  // namespace

bool elementary(UnaryOp op, const Tensor& x, double a, double b, Tensor& y) {
  return visit_floating("unary", x.dtype(), [&]<typename S>() { return elementary_of<S>(op, x, a, b, y); });
}

}  // namespace plumb::cuda_backend
