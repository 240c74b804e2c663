// Products, largest and smallest on the GPU: as reduce.cu, whose compilation they would double.
#include "cuda/kernels/reduce_rules.h"

namespace plumb::cuda_backend {
namespace {

using namespace reducing;

template <template <typename> typename Rule>
void reduce_with(const Tensor& x, const ReduceCall& call, Tensor& y) {
  if (x.dtype() == i64) return reduce_into<Rule<int64_t>, int64_t, int64_t>(x, call, y);
  visit_f32_f64("reduce", x.dtype(), [&]<typename T>() { reduce_into<Rule<T>, T, T>(x, call, y); });
}

}  // namespace

void reduce_by_choice(ReduceOp op, const Tensor& x, const ReduceCall& call, Tensor& y) {
  if (op == ReduceOp::product) return reduce_with<Product>(x, call, y);
  if (x.dtype() == u8)
    return op == ReduceOp::maximum ? reduce_into<Maximum<uint8_t>, uint8_t, uint8_t>(x, call, y)
                                   : reduce_into<Minimum<uint8_t>, uint8_t, uint8_t>(x, call, y);
  op == ReduceOp::maximum ? reduce_with<Maximum>(x, call, y) : reduce_with<Minimum>(x, call, y);
}

}  // namespace plumb::cuda_backend
