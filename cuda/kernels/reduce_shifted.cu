// Sums of squared deviations and of shifted exponentials on the GPU: as reduce.cu, each output with a shift of its own.
#include "cuda/kernels/reduce_rules.h"

namespace plumb::cuda_backend {
namespace {

using namespace reducing;

template <typename Rule, typename T>
void shifted(const Tensor& x, const Tensor& shift, const ReduceCall& call, Tensor& y) {
  reduce_axes(RuleOp<Rule, T, T>{x.data<T>(), shift.data<T>(), y.raw_data(), y.dtype()}, call.outer, call.reduced);
}

void reduce_shifted(ShiftedReduceOp op, const Tensor& x, const Tensor& shift, const Shape& outer, const Strides& outer_strides,
                    const Shape& reduced, const Strides& reduced_strides, Tensor& y) {
  ReduceCall call(outer, outer_strides, reduced, reduced_strides, true);
  visit_f32_f64("reduce_shifted", x.dtype(), [&]<typename T>() {
    op == ShiftedReduceOp::squared_deviation ? shifted<SumOfSquaredDeviations<T>, T>(x, shift, call, y)
                                             : shifted<SumOfExponentials<T>, T>(x, shift, call, y);
  });
}

}  // namespace

void register_reduce_shifted() { kernel::reduce_shifted.set(DeviceType::cuda, reduce_shifted); }

}  // namespace plumb::cuda_backend
