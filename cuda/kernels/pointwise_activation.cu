// Activation functions. Bytes: x read once, y written once. Bound: memory.
#include "cuda/kernels/pointwise.h"

namespace plumb::cuda_backend {
namespace {

template <typename S>
bool activation_of(UnaryOp op, const Tensor& x, double a, double b, Tensor& y) {
  namespace f = function;
  switch (op) {
    case UnaryOp::sigmoid: return apply_unary<f::Sigmoid, S>(x, a, b, y);
    case UnaryOp::logsigmoid: return apply_unary<f::LogSigmoid, S>(x, a, b, y);
    case UnaryOp::softplus: return apply_unary<f::Softplus, S>(x, a, b, y);
    case UnaryOp::silu: return apply_unary<f::Silu, S>(x, a, b, y);
    case UnaryOp::gelu: return apply_unary<f::Gelu, S>(x, a, b, y);
    case UnaryOp::gelu_tanh: return apply_unary<f::GeluTanh, S>(x, a, b, y);
    case UnaryOp::leaky_relu: return apply_unary<f::LeakyRelu, S>(x, a, b, y);
    case UnaryOp::elu: return apply_unary<f::Elu, S>(x, a, b, y);
    case UnaryOp::mish: return apply_unary<f::Mish, S>(x, a, b, y);
    case UnaryOp::hardswish: return apply_unary<f::Hardswish, S>(x, a, b, y);
    case UnaryOp::hardsigmoid: return apply_unary<f::Hardsigmoid, S>(x, a, b, y);
    default: return false;
  }
}

}  // namespace

bool activation(UnaryOp op, const Tensor& x, double a, double b, Tensor& y) {
  return visit_floating("unary", x.dtype(), [&]<typename S>() { return activation_of<S>(op, x, a, b, y); });
}

}  // namespace plumb::cuda_backend
