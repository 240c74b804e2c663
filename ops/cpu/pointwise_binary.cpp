// Element-wise functions of two tensors on the CPU. As in pointwise_unary.cpp: one loop a function in f32, f64 and (where it makes
// sense) i64; a repeated operand (stride 0) is taken as a constant. Bytes: read both once, write once. Bound: memory.
#include "engine/core/data_kernels.h"
#include "ops/cpu/strided_loop.h"
#include "ops/cpu/wide_loop.h"
#include "ops/kernels/pointwise.h"
#include "ops/pointwise_functions.h"

namespace plumb::cpu_kernels {
namespace {

// step_a, step_b are 0 (one element repeated) or 1.
template <typename T, typename R> using RowFunction = void (*)(const T* a, int64_t step_a, const T* b, int64_t step_b, R* out, int64_t n);

template <typename F, typename T, typename R>
void row(const T* a, int64_t step_a, const T* b, int64_t step_b, R* out, int64_t n) {
  if (step_a && step_b) {
    for (int64_t i = 0; i < n; ++i) out[i] = F::apply(a[i], b[i]);
  } else if (step_a) {
    T b0 = *b;
    for (int64_t i = 0; i < n; ++i) out[i] = F::apply(a[i], b0);
  } else if (step_b) {
    T a0 = *a;
    for (int64_t i = 0; i < n; ++i) out[i] = F::apply(a0, b[i]);
  } else {
    std::fill_n(out, n, static_cast<R>(F::apply(*a, *b)));
  }
}

// For functions that cost more than their memory.
template <typename F, typename T>
void costly_row(const T* a, int64_t step_a, const T* b, int64_t step_b, T* out, int64_t n) {
  if (!step_a || !step_b) return row<F, T, T>(a, step_a, b, step_b, out, n);
  wide_loop(n, [=](int64_t i) __attribute__((always_inline)) { out[i] = F::apply(a[i], b[i]); });
}

template <typename T>
RowFunction<T, T> find_row(BinaryOp op) {
  namespace f = function;
  switch (op) {
    case BinaryOp::add: return row<f::Add, T, T>;
    case BinaryOp::sub: return row<f::Sub, T, T>;
    case BinaryOp::mul: return row<f::Mul, T, T>;
    case BinaryOp::maximum: return row<f::Maximum, T, T>;
    case BinaryOp::minimum: return row<f::Minimum, T, T>;
    case BinaryOp::floor_divide: return row<f::FloorDivide, T, T>;
    case BinaryOp::remainder: return row<f::Remainder, T, T>;
    default: break;
  }
  if constexpr (std::is_floating_point_v<T>) {
    switch (op) {
      case BinaryOp::div: return row<f::Div, T, T>;
      case BinaryOp::pow: return row<f::Pow, T, T>;
      case BinaryOp::atan2: return row<f::Atan2, T, T>;
      case BinaryOp::hypot: return row<f::Hypot, T, T>;
      case BinaryOp::xlogy: return row<f::Xlogy, T, T>;
      case BinaryOp::logaddexp: return row<f::LogAddExp, T, T>;
      case BinaryOp::gelu_backward: return costly_row<f::GeluBackward, T>;
      case BinaryOp::gelu_tanh_backward: return costly_row<f::GeluTanhBackward, T>;
      case BinaryOp::silu_backward: return costly_row<f::SiluBackward, T>;
      case BinaryOp::relu_backward: return row<f::ReluBackward, T, T>;
      case BinaryOp::tanh_backward: return row<f::TanhBackward, T, T>;
      case BinaryOp::sigmoid_backward: return row<f::SigmoidBackward, T, T>;
      default: break;
    }
  }
  return nullptr;
}

template <typename T>
RowFunction<T, bool> find_row(CompareOp op) {
  namespace f = function;
  switch (op) {
    case CompareOp::equal: return row<f::Equal, T, bool>;
    case CompareOp::not_equal: return row<f::NotEqual, T, bool>;
    case CompareOp::less: return row<f::Less, T, bool>;
    case CompareOp::less_equal: return row<f::LessEqual, T, bool>;
    case CompareOp::greater: return row<f::Greater, T, bool>;
    case CompareOp::greater_equal: return row<f::GreaterEqual, T, bool>;
    case CompareOp::logical_and: return row<f::LogicalAnd, T, bool>;
    case CompareOp::logical_or: return row<f::LogicalOr, T, bool>;
    default: return row<f::LogicalXor, T, bool>;
  }
}

// Stored as S (b as SB, the result as SR), computed in T (result in R).
template <typename S, typename T, typename SR, typename R, typename SB = S, typename Op>
void binary_in(Op op, const Tensor& a, const Tensor& b, Tensor& out) {
  RowFunction<T, R> f = find_row<T>(op);
  if (!f) throw DTypeError("binary: this function is not defined for " + std::string(name(a.dtype())));
  auto loop = strided_loop<3>({&out, &a, &b});
  constexpr int64_t width = sizeof(S);
  parallel_rows(loop, [&](int64_t n, const std::array<std::byte*, 3>& at, const std::array<int64_t, 3>& stride) {
    bool plain = std::is_same_v<S, T> && std::is_same_v<S, SB> && stride[0] == static_cast<int64_t>(sizeof(SR)) &&
                 (stride[1] == width || stride[1] == 0) && (stride[2] == width || stride[2] == 0);
    if (plain && std::is_same_v<SR, R>)
      return f(reinterpret_cast<const T*>(at[1]), stride[1] / width, reinterpret_cast<const T*>(at[2]), stride[2] / width,
               reinterpret_cast<R*>(at[0]), n);
    T left[kChunk], right[kChunk];
    R result[kChunk];
    for (int64_t i = 0; i < n; i += kChunk) {
      int64_t m = std::min(kChunk, n - i);
      load_chunk<S, T>(at[1] + i * stride[1], stride[1], m, left);
      load_chunk<SB, T>(at[2] + i * stride[2], stride[2], m, right);
      f(left, 1, right, 1, result, m);
      store_chunk<R, SR>(result, m, at[0] + i * stride[0], stride[0]);
    }
  });
}

// f32 and a 16-bit type.
void binary_mixed(BinaryOp op, const Tensor& a, const Tensor& b, Tensor& out) {
  if (a.dtype() == f32)
    return b.dtype() == bf16 ? binary_in<float, float, float, float, bfloat16>(op, a, b, out)
                             : binary_in<float, float, float, float, half>(op, a, b, out);
  a.dtype() == bf16 ? binary_in<bfloat16, float, float, float, float>(op, a, b, out)
                    : binary_in<half, float, float, float, float>(op, a, b, out);
}

void binary(BinaryOp op, const Tensor& a, const Tensor& b, Tensor& out) {
  if (a.dtype() != b.dtype()) return binary_mixed(op, a, b, out);
  switch (a.dtype()) {
    case DType::f64: return binary_in<double, double, double, double>(op, a, b, out);
    case DType::f32: return binary_in<float, float, float, float>(op, a, b, out);
    case DType::bf16: return binary_in<bfloat16, float, bfloat16, float>(op, a, b, out);
    case DType::f16: return binary_in<half, float, half, float>(op, a, b, out);
    case DType::i64: return binary_in<int64_t, int64_t, int64_t, int64_t>(op, a, b, out);
    case DType::i32: return binary_in<int32_t, int64_t, int32_t, int64_t>(op, a, b, out);
    case DType::u8: return binary_in<uint8_t, int64_t, uint8_t, int64_t>(op, a, b, out);
    default: unsupported_dtype("binary", a.dtype());
  }
}

void compare(CompareOp op, const Tensor& a, const Tensor& b, Tensor& out) {
  switch (a.dtype()) {
    case DType::f64: return binary_in<double, double, bool, bool>(op, a, b, out);
    case DType::f32: return binary_in<float, float, bool, bool>(op, a, b, out);
    case DType::bf16: return binary_in<bfloat16, float, bool, bool>(op, a, b, out);
    case DType::f16: return binary_in<half, float, bool, bool>(op, a, b, out);
    case DType::i64: return binary_in<int64_t, int64_t, bool, bool>(op, a, b, out);
    case DType::i32: return binary_in<int32_t, int64_t, bool, bool>(op, a, b, out);
    case DType::u8: return binary_in<uint8_t, int64_t, bool, bool>(op, a, b, out);
    default: return binary_in<bool, int64_t, bool, bool>(op, a, b, out);
  }
}

// T is unsigned. By bits and of bytes, so that the compiler does many at a time: of bool and ?: it makes a branch, which
// goes wrong every other time.
template <typename T>
T select(uint8_t condition, T a, T b) {
  T mask = static_cast<T>(-static_cast<T>(condition != 0));
  return static_cast<T>((a & mask) | (b & ~mask));
}

// A step is 0 (one element repeated) or 1.
template <typename T>
void select_row(const uint8_t* condition, const T* a, int64_t step_a, const T* b, int64_t step_b, T* out, int64_t n) {
  if (step_a && step_b) {
    for (int64_t i = 0; i < n; ++i) out[i] = select(condition[i], a[i], b[i]);
  } else if (step_a) {
    T b0 = *b;
    for (int64_t i = 0; i < n; ++i) out[i] = select(condition[i], a[i], b0);
  } else if (step_b) {
    T a0 = *a;
    for (int64_t i = 0; i < n; ++i) out[i] = select(condition[i], a0, b[i]);
  } else {
    T a0 = *a, b0 = *b;
    for (int64_t i = 0; i < n; ++i) out[i] = select(condition[i], a0, b0);
  }
}

void where(const Tensor& condition, const Tensor& a, const Tensor& b, Tensor& out) {
  auto loop = strided_loop<4>({&out, &condition, &a, &b});
  auto of_size = [&]<typename T>() {  // elements are moved, not computed with: only their size matters
    constexpr int64_t width = sizeof(T);
    parallel_rows(loop, [&](int64_t n, const std::array<std::byte*, 4>& at, const std::array<int64_t, 4>& stride) {
      bool plain = stride[0] == width && stride[1] == 1 && (stride[2] == width || stride[2] == 0) && (stride[3] == width || stride[3] == 0);
      if (plain)
        return select_row(reinterpret_cast<const uint8_t*>(at[1]), reinterpret_cast<const T*>(at[2]), stride[2] / width,
                          reinterpret_cast<const T*>(at[3]), stride[3] / width, reinterpret_cast<T*>(at[0]), n);
      for (int64_t i = 0; i < n; ++i) {
        bool c = *reinterpret_cast<const bool*>(at[1] + i * stride[1]);
        const std::byte* from = c ? at[2] + i * stride[2] : at[3] + i * stride[3];
        *reinterpret_cast<T*>(at[0] + i * stride[0]) = *reinterpret_cast<const T*>(from);
      }
    });
  };
  switch (item_size(out.dtype())) {
    case 8: return of_size.operator()<uint64_t>();
    case 4: return of_size.operator()<uint32_t>();
    case 2: return of_size.operator()<uint16_t>();
    default: return of_size.operator()<uint8_t>();
  }
}

// into += x: the sum of gradients, in the common types.
void accumulate(const Tensor& x, Tensor& into) { binary(BinaryOp::add, into, x, into); }

}  // namespace

void register_pointwise_binary() {
  kernel::binary.set(DeviceType::cpu, binary);
  kernel::compare.set(DeviceType::cpu, compare);
  kernel::where.set(DeviceType::cpu, where);
  kernel::accumulate.set(DeviceType::cpu, accumulate);
}

}  // namespace plumb::cpu_kernels
