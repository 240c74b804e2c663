// Products, largest and smallest on the CPU: as reduce.cpp, whose compilation they would double.
#include <limits>

#include "ops/cpu/reduce_engine.h"

namespace plumb::cpu_kernels {
namespace {

template <typename T>
struct Product {
  static constexpr bool kShifted = false;
  using Joined = Product;
  static T start() { return 1; }
  static T element(T x, T) { return x; }
  static T join(T a, T b) { return a * b; }
};
template <typename T>
struct Maximum {
  static constexpr bool kShifted = false;
  using Joined = Maximum;
  static T start() { return std::numeric_limits<T>::has_infinity ? -std::numeric_limits<T>::infinity() : std::numeric_limits<T>::lowest(); }
  static T element(T x, T) { return x; }
  static T join(T a, T b) {
    T larger = b > a ? b : a;  // a if that is NaN
    return b != b ? b : larger;
  }
};
template <typename T>
struct Minimum {
  static constexpr bool kShifted = false;
  using Joined = Minimum;
  static T start() { return std::numeric_limits<T>::has_infinity ? std::numeric_limits<T>::infinity() : std::numeric_limits<T>::max(); }
  static T element(T x, T) { return x; }
  static T join(T a, T b) {
    T smaller = b < a ? b : a;
    return b != b ? b : smaller;
  }
};

template <template <typename> typename Op>
void reduce_with(const Tensor& x, const ReduceCall& call, Tensor& y) {
  if (x.dtype() == i64) return reduce_into<Op<int64_t>, int64_t, int64_t>(x, call, y);
  visit_f32_f64("reduce", x.dtype(), [&]<typename T>() { reduce_into<Op<T>, T, T>(x, call, y); });
}

}  // namespace

void reduce_by_choice(ReduceOp op, const Tensor& x, const ReduceCall& call, Tensor& y) {
  if (op == ReduceOp::product) return reduce_with<Product>(x, call, y);
  if (x.dtype() == u8)
    return op == ReduceOp::maximum ? reduce_into<Maximum<uint8_t>, uint8_t, uint8_t>(x, call, y) : reduce_into<Minimum<uint8_t>, uint8_t, uint8_t>(x, call, y);
  if (op == ReduceOp::maximum) return reduce_with<Maximum>(x, call, y);
  reduce_with<Minimum>(x, call, y);
}

}  // namespace plumb::cpu_kernels
