// Sums and what is made of them.
#include "ops/reduce.h"

#include "engine/autograd/record.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/pointwise_call.h"
#include "ops/reduce_call.h"
#include "ops/scan.h"
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

namespace {

// A gradient of the result, seen from every element that was reduced.
Tensor spread(const Tensor& dy, const Shape& kept, const Shape& shape) { return expand(reshape(dy, kept), shape); }

DType sum_type(DType t) { return is_floating(t) ? t : i64; }
Tensor summable(const Tensor& x) { return x.dtype() == boolean ? to(x, u8) : x; }

}  // namespace

// y = Σ x,   dx = dy, repeated
Tensor sum(const Tensor& input, const std::vector<int>& dims, bool keepdim) {
  Tensor x = summable(input);
  auto d = detail::reduced_dims("sum", x, dims);
  return record("sum", detail::reduce(ReduceOp::sum, "sum", x, d, keepdim, sum_type(x.dtype())), {x}, saving(),
                [shape = x.shape(), kept = d.kept](const Grads& dy, const Saved&, Needs) -> Grads { return spread(dy[0], kept, shape); });
}

// y = Σ x / n, the sum of 16-bit types in f32,   dx = dy / n, repeated
Tensor mean(const Tensor& input, const std::vector<int>& dims, bool keepdim) {
  Tensor x = detail::floating(input), y;
  auto d = detail::reduced_dims("mean", x, dims);
  double scale = 1 / static_cast<double>(numel(d.reduced));
  {
    NoGrad off;
    y = to(detail::reduce(ReduceOp::sum, "mean", x, d, keepdim, x.dtype() == f64 ? f64 : f32) * scale, x.dtype());
  }
  return record("mean", y, {x}, saving(), [scale, shape = x.shape(), kept = d.kept](const Grads& dy, const Saved&, Needs) -> Grads {
    return spread(dy[0] * scale, kept, shape);
  });
}

namespace {

// x with `dims` moved to the end and merged: [kept.., n].
std::vector<int> reduced_last(const Shape& kept, const Shape& shape) {
  std::vector<int> order;
  for (int reduced = 0; reduced < 2; ++reduced)
    for (int i = 0; i < shape.rank(); ++i)
      if ((kept[i] != shape[i]) == (reduced == 1)) order.push_back(i);
  return order;
}

// Π_{s < t} x_s along the last dimension (Π_{s > t} if reversed).
Tensor product_before(const Tensor& x, bool reversed) {
  Tensor from = reversed ? flip(x, {-1}) : x;
  Tensor y = cat({ones_like(slice(from, -1, 0, 1)), slice(cumprod(from, -1), -1, 0, x.size(-1) - 1)}, -1);
  return reversed ? flip(y, {-1}) : y;
}

// What all other elements of the same output multiply to: the product of those before and those after.
Tensor product_of_others(const Tensor& x, const Shape& kept) {
  std::vector<int> order = reduced_last(kept, x.shape()), back(order.size());
  for (size_t i = 0; i < order.size(); ++i) back[static_cast<size_t>(order[i])] = static_cast<int>(i);
  Tensor moved = permute(x, order), rows = reshape(moved, {numel(kept), x.numel() / numel(kept)});
  return permute(reshape(product_before(rows, false) * product_before(rows, true), moved.shape()), back);
}

}  // namespace

// dx_i = dy Π_{j ≠ i} x_j
Tensor prod(const Tensor& input, const std::vector<int>& dims, bool keepdim) {
  DType t = input.dtype();
  if (t == bf16 || t == f16) return to(prod(to(input, f32), dims, keepdim), t);
  Tensor x = is_floating(t) ? input : to(input, i64);
  auto d = detail::reduced_dims("prod", x, dims);
  return record("prod", detail::reduce(ReduceOp::product, "prod", x, d, keepdim, x.dtype()), {x}, saving(x),
                [kept = d.kept](const Grads& dy, const Saved& s, Needs) -> Grads {
                  Tensor x = s[0];
                  return x.numel() == 0 ? zeros_like(x) : reshape(dy[0], kept) * product_of_others(x, kept);
                });
}

// Bools are reduced as the numbers 0 and 1.
static Tensor truth(ReduceOp op, const char* name, const Tensor& x, const std::vector<int>& dims, bool keepdim) {
  NoGrad off;
  Tensor nonzero = to(x.dtype() == boolean ? x : x != 0, u8);
  auto d = detail::reduced_dims(name, nonzero, dims);
  Tensor y = numel(d.reduced) > 0 ? detail::reduce(op, name, nonzero, d, keepdim, u8)
                                  : full(d.result(keepdim), op == ReduceOp::minimum ? 1 : 0, u8, x.device());
  return to(y, boolean);
}
Tensor any(const Tensor& x, const std::vector<int>& dims, bool keepdim) { return truth(ReduceOp::maximum, "any", x, dims, keepdim); }
Tensor all(const Tensor& x, const std::vector<int>& dims, bool keepdim) { return truth(ReduceOp::minimum, "all", x, dims, keepdim); }
Tensor count_nonzero(const Tensor& x, const std::vector<int>& dims, bool keepdim) {
  NoGrad off;
  return sum(x.dtype() == boolean ? x : x != 0, dims, keepdim);
}

}  // namespace plumb
