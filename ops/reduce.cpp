// Reductions and their derivatives.
#include "ops/reduce.h"

#include "engine/autograd/record.h"
#include "ops/kernels/reduce.h"
#include "ops/pointwise.h"
#include "ops/pointwise_call.h"
#include "ops/shape.h"

namespace plumb {
namespace {

// x's dimensions divided into those that stay and those that go.
struct Split {
  Shape outer, reduced, kept;  ///< `kept`: x's shape with reduced sizes 1
  Strides outer_strides, reduced_strides;
};

Split split_dims(const char* op, const Tensor& x, const std::vector<int>& dims) {
  bool gone[kMaxRank] = {};
  for (int d : dims) {
    int i = checked_dim(op, d, x.rank());
    if (gone[i]) throw IndexError(std::string(op) + ": dimension " + std::to_string(i) + " is given twice");
    gone[i] = true;
  }
  Split s;
  s.kept = x.shape();
  for (int i = 0; i < x.rank(); ++i) {
    bool reduce = dims.empty() || gone[i];
    (reduce ? s.reduced : s.outer).push_back(x.shape()[i]);
    (reduce ? s.reduced_strides : s.outer_strides).push_back(x.strides()[i]);
    if (reduce) s.kept[i] = 1;
  }
  return s;
}

Tensor reduced(ReduceOp op, const char* name, const Tensor& x, const Split& s, bool keepdim) {
  Tensor y = empty(keepdim ? s.kept : s.outer, x.dtype(), x.device(), name);
  kernel::reduce(x.device(), op, x, s.outer, s.outer_strides, s.reduced, s.reduced_strides, y);
  return y;
}

}  // namespace

// y = Σ x,   dx = dy, repeated
Tensor sum(const Tensor& input, const std::vector<int>& dims, bool keepdim) {
  Tensor x = is_floating(input.dtype()) ? input : to(input, i64);
  Split s = split_dims("sum", x, dims);
  return record("sum", reduced(ReduceOp::sum, "sum", x, s, keepdim), {x}, saving(), [shape = x.shape(), kept = s.kept](const Grads& dy, const Saved&, Needs) -> Grads {
    return expand(reshape(dy[0], kept), shape);
  });
}

Tensor mean(const Tensor& input, const std::vector<int>& dims, bool keepdim) {
  Tensor x = detail::floating(input), total = sum(x, dims, keepdim);
  return total * (static_cast<double>(total.numel()) / static_cast<double>(x.numel()));
}

}  // namespace plumb
