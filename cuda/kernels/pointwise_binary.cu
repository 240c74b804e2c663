// Element-wise functions of two tensors, comparisons, selection. Bytes: operands read once, the result written once.
#include "cuda/kernels/pointwise.h"
#include "engine/core/data_kernels.h"
#include "ops/kernels/pointwise.h"

namespace plumb::cuda_backend {
namespace {

template <typename F, typename S>
void apply(const Tensor& a, const Tensor& b, Tensor& out) {
  elementwise<S, S, S>(OfTwo<FunctionFor<F, S>, pointwise_t<S>>(), out, a, b);
}

[[noreturn]] void undefined_function(const Tensor& a) {
  throw DTypeError("binary: this function is not defined for " + std::string(name(a.dtype())));
}

template <typename S>
void binary_floating(BinaryOp op, const Tensor& a, const Tensor& b, Tensor& out) {
  namespace f = function;
  switch (op) {
    case BinaryOp::div: return apply<f::Div, S>(a, b, out);
    case BinaryOp::pow: return apply<f::Pow, S>(a, b, out);
    case BinaryOp::atan2: return apply<f::Atan2, S>(a, b, out);
    case BinaryOp::hypot: return apply<f::Hypot, S>(a, b, out);
    case BinaryOp::xlogy: return apply<f::Xlogy, S>(a, b, out);
    case BinaryOp::logaddexp: return apply<f::LogAddExp, S>(a, b, out);
    case BinaryOp::gelu_backward: return apply<f::GeluBackward, S>(a, b, out);
    case BinaryOp::gelu_tanh_backward: return apply<f::GeluTanhBackward, S>(a, b, out);
    case BinaryOp::silu_backward: return apply<f::SiluBackward, S>(a, b, out);
    case BinaryOp::relu_backward: return apply<f::ReluBackward, S>(a, b, out);
    case BinaryOp::tanh_backward: return apply<f::TanhBackward, S>(a, b, out);
    case BinaryOp::sigmoid_backward: return apply<f::SigmoidBackward, S>(a, b, out);
    default: undefined_function(a);
  }
}

template <typename S>
void binary_of(BinaryOp op, const Tensor& a, const Tensor& b, Tensor& out) {
  namespace f = function;
  switch (op) {
    case BinaryOp::add: return apply<f::Add, S>(a, b, out);
    case BinaryOp::sub: return apply<f::Sub, S>(a, b, out);
    case BinaryOp::mul: return apply<f::Mul, S>(a, b, out);
    case BinaryOp::maximum: return apply<f::Maximum, S>(a, b, out);
    case BinaryOp::minimum: return apply<f::Minimum, S>(a, b, out);
    case BinaryOp::floor_divide: return apply<f::FloorDivide, S>(a, b, out);
    case BinaryOp::remainder: return apply<f::Remainder, S>(a, b, out);
    default: break;
  }
  if constexpr (std::is_integral_v<S>) undefined_function(a);
  else binary_floating<S>(op, a, b, out);
}

// f32 and a 16-bit type: read as they are, so that a sum of both costs no pass that converts.
template <typename A, typename B>
void mixed_of(BinaryOp op, const Tensor& a, const Tensor& b, Tensor& out) {
  namespace f = function;
  auto run = [&]<typename F>(F) { elementwise<float, A, B>(OfTwo<F, float>(), out, a, b); };
  switch (op) {
    case BinaryOp::add: return run(f::Add());
    case BinaryOp::sub: return run(f::Sub());
    case BinaryOp::mul: return run(f::Mul());
    default:
      throw DTypeError("binary: this function is not defined for " + std::string(name(a.dtype())) + " with " +
                       std::string(name(b.dtype())));
  }
}

void binary_mixed(BinaryOp op, const Tensor& a, const Tensor& b, Tensor& out) {
  if (a.dtype() == f32) return b.dtype() == bf16 ? mixed_of<float, bfloat16>(op, a, b, out) : mixed_of<float, half>(op, a, b, out);
  a.dtype() == bf16 ? mixed_of<bfloat16, float>(op, a, b, out) : mixed_of<half, float>(op, a, b, out);
}

void binary(BinaryOp op, const Tensor& a, const Tensor& b, Tensor& out) {
  if (a.dtype() != b.dtype()) return binary_mixed(op, a, b, out);
  visit_dtype(a.dtype(), [&]<typename S>() {
    if constexpr (std::is_same_v<S, bool>) unsupported_dtype("binary", boolean);
    else binary_of<S>(op, a, b, out);
  });
}

template <typename S, typename F>
void compare_with(const Tensor& a, const Tensor& b, Tensor& out) {
  elementwise<bool, S, S>(OfTwo<F, pointwise_t<S>>(), out, a, b);
}

void compare(CompareOp op, const Tensor& a, const Tensor& b, Tensor& out) {
  namespace f = function;
  visit_dtype(a.dtype(), [&]<typename S>() {
    switch (op) {
      case CompareOp::equal: return compare_with<S, f::Equal>(a, b, out);
      case CompareOp::not_equal: return compare_with<S, f::NotEqual>(a, b, out);
      case CompareOp::less: return compare_with<S, f::Less>(a, b, out);
      case CompareOp::less_equal: return compare_with<S, f::LessEqual>(a, b, out);
      case CompareOp::greater: return compare_with<S, f::Less>(b, a, out);  // one kernel for both
      case CompareOp::greater_equal: return compare_with<S, f::LessEqual>(b, a, out);
      case CompareOp::logical_and: return compare_with<S, f::LogicalAnd>(a, b, out);
      case CompareOp::logical_or: return compare_with<S, f::LogicalOr>(a, b, out);
      default: return compare_with<S, f::LogicalXor>(a, b, out);
    }
  });
}

// Elements are moved, not computed with: only their size matters.
struct Choose {
  template <typename T> __device__ T operator()(bool condition, T a, T b) const { return condition ? a : b; }
};

void where(const Tensor& condition, const Tensor& a, const Tensor& b, Tensor& out) {
  switch (item_size(out.dtype())) {
    case 8: return elementwise<uint64_t, bool, uint64_t, uint64_t>(Choose(), out, condition, a, b);
    case 4: return elementwise<uint32_t, bool, uint32_t, uint32_t>(Choose(), out, condition, a, b);
    case 2: return elementwise<uint16_t, bool, uint16_t, uint16_t>(Choose(), out, condition, a, b);
    default: return elementwise<uint8_t, bool, uint8_t, uint8_t>(Choose(), out, condition, a, b);
  }
}

// into += x: the sum of gradients, in the common types.
void accumulate(const Tensor& x, Tensor& into) { binary(BinaryOp::add, into, x, into); }

}  // namespace

void register_pointwise_binary() {
  kernel::binary.set(DeviceType::cuda, binary);
  kernel::compare.set(DeviceType::cuda, compare);
  kernel::where.set(DeviceType::cuda, where);
  kernel::accumulate.set(DeviceType::cuda, accumulate);
}

}  // namespace plumb::cuda_backend
