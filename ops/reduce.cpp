// Sums and what is made of them.
#include "ops/reduce.h"

#include "engine/autograd/record.h"
#include "ops/pointwise.h"
#include "ops/pointwise_call.h"
#include "ops/reduce_call.h"
#include "ops/shape.h"

namespace plumb {
namespace detail {

ReducedDims reduced_dims(const char* op, const Tensor& x, const std::vector<int>& dims) {
  bool gone[kMaxRank] = {};
  for (int d : dims) {
    int i = checked_dim(op, d, x.rank());
    if (gone[i]) throw IndexError(std::string(op) + ": dimension " + std::to_string(i) + " is given twice");
    gone[i] = true;
  }
  ReducedDims s;
  s.kept = x.shape();
  for (int i = 0; i < x.rank(); ++i) {
    bool reduce = dims.empty() || gone[i];
    (reduce ? s.reduced : s.outer).push_back(x.shape()[i]);
    (reduce ? s.reduced_strides : s.outer_strides).push_back(x.strides()[i]);
    if (reduce) s.kept[i] = 1;
  }
  return s;
}

Tensor reduce(ReduceOp op, const char* name, const Tensor& x, const ReducedDims& d, bool keepdim, DType dtype) {
  Tensor y = empty(d.result(keepdim), dtype, x.device(), name);
  kernel::reduce(x.device(), op, x, d.outer, d.outer_strides, d.reduced, d.reduced_strides, y);
  return y;
}

}  // namespace detail

// y = Σ x,   dx = dy, repeated
Tensor sum(const Tensor& input, const std::vector<int>& dims, bool keepdim) {
  Tensor x = is_floating(input.dtype()) ? input : to(input, i64);
  auto d = detail::reduced_dims("sum", x, dims);
  return record("sum", detail::reduce(ReduceOp::sum, "sum", x, d, keepdim, x.dtype()), {x}, saving(), [shape = x.shape(), kept = d.kept](const Grads& dy, const Saved&, Needs) -> Grads {
    return expand(reshape(dy[0], kept), shape);
  });
}

Tensor mean(const Tensor& input, const std::vector<int>& dims, bool keepdim) {
  Tensor x = detail::floating(input), total = sum(x, dims, keepdim);
  return total * (static_cast<double>(total.numel()) / static_cast<double>(x.numel()));
}

}  // namespace plumb
