// Element-wise functions of one tensor: arithmetic here, the rest in the files beside it. Bytes: x read once, y written once. Bound:
// memory.
#include "cuda/kernels/pointwise.h"
#include "cuda/runtime/memory.h"

namespace plumb::cuda_backend {
namespace {

template <typename S>
bool arithmetic(UnaryOp op, const Tensor& x, double a, double b, Tensor& y) {
  namespace f = function;
  switch (op) {
    case UnaryOp::neg: return apply_unary<f::Neg, S>(x, a, b, y);
    case UnaryOp::abs: return apply_unary<f::Abs, S>(x, a, b, y);
    case UnaryOp::sign: return apply_unary<f::Sign, S>(x, a, b, y);
    case UnaryOp::square: return apply_unary<f::Square, S>(x, a, b, y);
    case UnaryOp::relu: return apply_unary<f::Relu, S>(x, a, b, y);
    case UnaryOp::add_scalar: return apply_unary<f::AddScalar, S>(x, a, b, y);
    case UnaryOp::mul_scalar: return apply_unary<f::MulScalar, S>(x, a, b, y);
    case UnaryOp::rsub_scalar: return apply_unary<f::RsubScalar, S>(x, a, b, y);
    case UnaryOp::clamp: return apply_unary<f::Clamp, S>(x, a, b, y);
    default: return false;
  }
}

template <typename S>
bool rounding(UnaryOp op, const Tensor& x, double a, double b, Tensor& y) {
  namespace f = function;
  switch (op) {
    case UnaryOp::floor: return apply_unary<f::Floor, S>(x, a, b, y);
    case UnaryOp::ceil: return apply_unary<f::Ceil, S>(x, a, b, y);
    case UnaryOp::round: return apply_unary<f::Round, S>(x, a, b, y);
    case UnaryOp::trunc: return apply_unary<f::Trunc, S>(x, a, b, y);
    case UnaryOp::nan_to_zero: return apply_unary<f::NanToZero, S>(x, a, b, y);
    default: return false;
  }
}

void unary(UnaryOp op, const Tensor& x, double a, double b, Tensor& y) {
  bool done = visit_dtype(x.dtype(), [&]<typename S>() -> bool {
    if constexpr (std::is_same_v<S, bool>) unsupported_dtype("unary", boolean);
    else if constexpr (std::is_integral_v<S>) return arithmetic<S>(op, x, a, b, y);
    else
      return arithmetic<S>(op, x, a, b, y) || rounding<S>(op, x, a, b, y) || activation(op, x, a, b, y) || elementary(op, x, a, b, y) ||
             special(op, x, a, b, y);
  });
  if (!done) throw DTypeError("unary: this function is not defined for " + std::string(name(x.dtype())));
}

// -- tests -----------------------------------------------------------------------------------------------------------------------------
template <typename F>
struct Test {
  template <typename X> __device__ bool operator()(X x) const { return F::apply(x); }
};

template <typename F>
void test_with(const Tensor& x, Tensor& out) {
  visit_dtype(x.dtype(), [&]<typename S>() { elementwise<bool, S>(Test<F>(), out, x); });
}

void test(TestOp op, const Tensor& x, Tensor& out) {
  namespace f = function;
  switch (op) {
    case TestOp::is_nan: return test_with<f::IsNan>(x, out);
    case TestOp::is_inf: return test_with<f::IsInf>(x, out);
    case TestOp::is_finite: return test_with<f::IsFinite>(x, out);
    default: return test_with<f::LogicalNot>(x, out);
  }
}

template <typename S>
__global__ void find_nan(Elements<1> x, int* found) {
  std::byte* at[1];
  for (int64_t i = thread_index(); i < x.count; i += grid_threads()) {
    x.locate(static_cast<uint32_t>(i), at);
    if (function::IsNan::apply(static_cast<compute_t<S>>(*reinterpret_cast<const S*>(at[0])))) *found = 1;  // all write the same
  }
}

void has_nan(const Tensor& x, bool& found) {
  Scratch<int> flag(1, "has_nan");
  check(cudaMemsetAsync(flag, 0, sizeof(int), current_stream()), "has_nan");
  auto loop = cpu_kernels::strided_loop<1>({&x});
  visit_floating("has_nan", x.dtype(), [&]<typename S>() {
    detail::for_each_piece(loop, [&](const cpu_kernels::StridedLoop<1>& piece) {
      auto elements = detail::elements_of<1>(piece, {static_cast<int64_t>(sizeof(S))}, 1);
      launch(find_nan<S>, grid_for(elements.count), elements, flag.data());
    });
  });
  found = read_back(flag.data()) != 0;
}

}  // namespace

void register_pointwise_unary() {
  kernel::unary.set(DeviceType::cuda, unary);
  kernel::test.set(DeviceType::cuda, test);
  kernel::has_nan.set(DeviceType::cuda, has_nan);
}

}  // namespace plumb::cuda_backend
