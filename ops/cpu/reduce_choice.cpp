// Products, largest and smallest on the CPU: as reduce.cpp, whose compilation they would double.
#include "ops/cpu/reduce_engine.h"
#include "ops/reduce_functions.h"

namespace plumb::cpu_kernels {
namespace {

using namespace reducing;

template <template <typename> typename Op>
void reduce_with(const Tensor& x, const ReduceCall& call, Tensor& y) {
  if (x.dtype() == i64) return reduce_into<Op<int64_t>, int64_t, int64_t>(x, call, y);
  visit_f32_f64("reduce", x.dtype(), [&]<typename T>() { reduce_into<Op<T>, T, T>(x, call, y); });
}

}  // namespace

void reduce_by_choice(ReduceOp op, const Tensor& x, const ReduceCall& call, Tensor& y) {
  if (op == ReduceOp::product) return reduce_with<Product>(x, call, y);
  if (x.dtype() == u8)
    return op == ReduceOp::maximum ? reduce_into<Maximum<uint8_t>, uint8_t, uint8_t>(x, call, y)
                                   : reduce_into<Minimum<uint8_t>, uint8_t, uint8_t>(x, call, y);
  if (op == ReduceOp::maximum) return reduce_with<Maximum>(x, call, y);
  reduce_with<Minimum>(x, call, y);
}

}  // namespace plumb::cpu_kernels
