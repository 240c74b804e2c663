// Sums on the CPU: the operations and the types; how elements are visited is in reduce_engine.h. 16-bit types are summed in f32.
#include "ops/cpu/reduce_engine.h"
#include "ops/kernels/reduce.h"
#include "ops/reduce_functions.h"

namespace plumb::cpu_kernels {
namespace {

using namespace reducing;

void sum(const Tensor& x, const ReduceCall& call, Tensor& y) {
  switch (x.dtype()) {
    case DType::i64: return reduce_into<Sum<int64_t>, int64_t, int64_t>(x, call, y);
    case DType::i32: return reduce_into<Sum<int64_t>, int32_t, int64_t>(x, call, y);
    case DType::u8: return reduce_into<Sum<int64_t>, uint8_t, int64_t>(x, call, y);
    default: return visit_floating("sum", x.dtype(), [&]<typename S>() { reduce_into<Sum<compute_t<S>>, S, compute_t<S>>(x, call, y); });
  }
}

void reduce(ReduceOp op, const Tensor& x, const Shape& outer, const Strides& outer_strides, const Shape& reduced,
            const Strides& reduced_strides, Tensor& y) {
  ReduceCall call(outer, outer_strides, reduced, reduced_strides, false);
  switch (op) {
    case ReduceOp::sum: return sum(x, call, y);
    case ReduceOp::sum_of_squares:
      return visit_f32_f64("reduce", x.dtype(), [&]<typename T>() { reduce_into<SumOfSquares<T>, T, T>(x, call, y); });
    default: return reduce_by_choice(op, x, call, y);
  }
}

void reduce_shifted(ShiftedReduceOp op, const Tensor& x, const Tensor& shift, const Shape& outer, const Strides& outer_strides,
                    const Shape& reduced, const Strides& reduced_strides, Tensor& y) {
  ReduceCall call(outer, outer_strides, reduced, reduced_strides, true);
  visit_f32_f64("reduce_shifted", x.dtype(), [&]<typename T>() {
    if (op == ShiftedReduceOp::squared_deviation)
      Reduction<SumOfSquaredDeviations<T>, T, T>(x.data<T>(), shift.data<T>(), call.outer, call.reduced).run(y.data<T>());
    else
      Reduction<SumOfExponentials<T>, T, T>(x.data<T>(), shift.data<T>(), call.outer, call.reduced).run(y.data<T>());
  });
}

}  // namespace

void register_reduce() {
  kernel::reduce.set(DeviceType::cpu, reduce);
  kernel::reduce_shifted.set(DeviceType::cpu, reduce_shifted);
}

}  // namespace plumb::cpu_kernels
