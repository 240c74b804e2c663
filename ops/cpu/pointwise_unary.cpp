// Element-wise functions of one tensor on the CPU. Each function has one loop in f32 and one in f64 (and one in i64 where integers
// make sense); other types are converted in chunks that stay in L1. Bytes: read x once, write y once. Bound: memory, or the function.
#include "ops/cpu/strided_loop.h"
#include "ops/cpu/wide_loop.h"
#include "ops/kernels/pointwise.h"
#include "ops/pointwise_functions.h"

namespace plumb::cpu_kernels {
namespace {

template <typename T> using RowFunction = void (*)(const T* x, T* y, int64_t n, T a, T b);

template <typename F, typename T>
void row(const T* x, T* y, int64_t n, T a, T b) {
  for (int64_t i = 0; i < n; ++i) y[i] = F::apply(x[i], a, b);
}

// For functions that cost more than their memory.
template <typename F, typename T>
void costly_row(const T* x, T* y, int64_t n, T a, T b) {
  wide_loop(n, [=](int64_t i) __attribute__((always_inline)) { y[i] = F::apply(x[i], a, b); });
}

template <typename T>
RowFunction<T> find_row(UnaryOp op) {
  namespace f = function;
  switch (op) {
    case UnaryOp::neg: return row<f::Neg, T>;
    case UnaryOp::abs: return row<f::Abs, T>;
    case UnaryOp::sign: return row<f::Sign, T>;
    case UnaryOp::square: return row<f::Square, T>;
    case UnaryOp::relu: return row<f::Relu, T>;
    case UnaryOp::add_scalar: return row<f::AddScalar, T>;
    case UnaryOp::mul_scalar: return row<f::MulScalar, T>;
    case UnaryOp::rsub_scalar: return row<f::RsubScalar, T>;
    case UnaryOp::clamp: return row<f::Clamp, T>;
    default: break;
  }
  if constexpr (std::is_floating_point_v<T>) {
    switch (op) {
      case UnaryOp::sqrt: return row<f::Sqrt, T>;
      case UnaryOp::rsqrt: return row<f::Rsqrt, T>;
      case UnaryOp::reciprocal: return row<f::Reciprocal, T>;
      case UnaryOp::exp: return row<f::Exp, T>;
      case UnaryOp::exp2: return row<f::Exp2, T>;
      case UnaryOp::expm1: return row<f::Expm1, T>;
      case UnaryOp::log: return row<f::Log, T>;
      case UnaryOp::log2: return row<f::Log2, T>;
      case UnaryOp::log10: return row<f::Log10, T>;
      case UnaryOp::log1p: return row<f::Log1p, T>;
      case UnaryOp::sin: return row<f::Sin, T>;
      case UnaryOp::cos: return row<f::Cos, T>;
      case UnaryOp::tan: return row<f::Tan, T>;
      case UnaryOp::asin: return row<f::Asin, T>;
      case UnaryOp::acos: return row<f::Acos, T>;
      case UnaryOp::atan: return row<f::Atan, T>;
      case UnaryOp::sinh: return row<f::Sinh, T>;
      case UnaryOp::cosh: return row<f::Cosh, T>;
      case UnaryOp::tanh: return row<f::Tanh, T>;
      case UnaryOp::asinh: return row<f::Asinh, T>;
      case UnaryOp::acosh: return row<f::Acosh, T>;
      case UnaryOp::atanh: return row<f::Atanh, T>;
      case UnaryOp::erf: return row<f::Erf, T>;
      case UnaryOp::erfc: return row<f::Erfc, T>;
      case UnaryOp::erfinv: return row<f::Erfinv, T>;
      case UnaryOp::lgamma: return row<f::Lgamma, T>;
      case UnaryOp::digamma: return row<f::Digamma, T>;
      case UnaryOp::polygamma: return row<f::Polygamma, T>;
      case UnaryOp::sigmoid: return row<f::Sigmoid, T>;
      case UnaryOp::logsigmoid: return row<f::LogSigmoid, T>;
      case UnaryOp::softplus: return row<f::Softplus, T>;
      case UnaryOp::silu: return costly_row<f::Silu, T>;
      case UnaryOp::gelu: return costly_row<f::Gelu, T>;
      case UnaryOp::gelu_tanh: return costly_row<f::GeluTanh, T>;
      case UnaryOp::leaky_relu: return row<f::LeakyRelu, T>;
      case UnaryOp::elu: return row<f::Elu, T>;
      case UnaryOp::mish: return row<f::Mish, T>;
      case UnaryOp::hardswish: return row<f::Hardswish, T>;
      case UnaryOp::hardsigmoid: return row<f::Hardsigmoid, T>;
      case UnaryOp::floor: return row<f::Floor, T>;
      case UnaryOp::ceil: return row<f::Ceil, T>;
      case UnaryOp::round: return row<f::Round, T>;
      case UnaryOp::trunc: return row<f::Trunc, T>;
      case UnaryOp::pow_scalar: return row<f::PowScalar, T>;
      case UnaryOp::rpow_scalar: return row<f::RpowScalar, T>;
      case UnaryOp::nan_to_zero: return row<f::NanToZero, T>;
      default: break;
    }
  }
  return nullptr;
}

// Stored as S, computed in T.
template <typename S, typename T>
void unary_in(UnaryOp op, const Tensor& x, double a, double b, Tensor& y) {
  RowFunction<T> f = find_row<T>(op);
  if (!f) throw DTypeError("unary: this function is not defined for " + std::string(name(x.dtype())));
  auto loop = strided_loop<2>({&y, &x});
  T ta = static_cast<T>(a), tb = static_cast<T>(b);
  parallel_rows(loop, [&](int64_t n, const std::array<std::byte*, 2>& at, const std::array<int64_t, 2>& stride) {
    if (std::is_same_v<S, T> && stride[0] == sizeof(S) && stride[1] == sizeof(S))
      return f(reinterpret_cast<const T*>(at[1]), reinterpret_cast<T*>(at[0]), n, ta, tb);
    T in[kChunk], out[kChunk];
    for (int64_t i = 0; i < n; i += kChunk) {
      int64_t m = std::min(kChunk, n - i);
      load_chunk<S, T>(at[1] + i * stride[1], stride[1], m, in);
      f(in, out, m, ta, tb);
      store_chunk<T, S>(out, m, at[0] + i * stride[0], stride[0]);
    }
  });
}

void unary(UnaryOp op, const Tensor& x, double a, double b, Tensor& y) {
  switch (x.dtype()) {
    case DType::f64: return unary_in<double, double>(op, x, a, b, y);
    case DType::f32: return unary_in<float, float>(op, x, a, b, y);
    case DType::bf16: return unary_in<bfloat16, float>(op, x, a, b, y);
    case DType::f16: return unary_in<half, float>(op, x, a, b, y);
    case DType::i64: return unary_in<int64_t, int64_t>(op, x, a, b, y);
    case DType::i32: return unary_in<int32_t, int64_t>(op, x, a, b, y);
    case DType::u8: return unary_in<uint8_t, int64_t>(op, x, a, b, y);
    default: unsupported_dtype("unary", x.dtype());
  }
}

template <typename F>
void test_with(const Tensor& x, Tensor& out) {
  auto loop = strided_loop<2>({&out, &x});
  visit_dtype(x.dtype(), [&]<typename T>() {
    parallel_rows(loop, [&](int64_t n, const std::array<std::byte*, 2>& at, const std::array<int64_t, 2>& stride) {
      for (int64_t i = 0; i < n; ++i)
        *reinterpret_cast<bool*>(at[0] + i * stride[0]) =
            F::apply(static_cast<compute_t<T>>(*reinterpret_cast<const T*>(at[1] + i * stride[1])));
    });
  });
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

void has_nan(const Tensor& x, bool& found) {
  auto loop = strided_loop<1>({&x});
  found = false;
  visit_floating("has_nan", x.dtype(), [&]<typename T>() {
    for_each_row(loop, 0, loop.count, [&](int64_t n, const std::array<std::byte*, 1>& at, const std::array<int64_t, 1>& stride) {
      for (int64_t i = 0; i < n; ++i)
        found |= function::IsNan::apply(static_cast<compute_t<T>>(*reinterpret_cast<const T*>(at[0] + i * stride[0])));
    });
  });
}

}  // namespace

void register_pointwise_unary() {
  kernel::unary.set(DeviceType::cpu, unary);
  kernel::test.set(DeviceType::cpu, test);
  kernel::has_nan.set(DeviceType::cpu, has_nan);
}

}  // namespace plumb::cpu_kernels
