// The largest and the smallest. Along one dimension the chosen element gets the whole gradient; over several, equal ones share it.
#include "engine/autograd/record.h"
#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/reduce_call.h"
#include "ops/shape.h"

namespace plumb {
namespace detail {

Tensor around_dim(const Tensor& x, int dim) {
  Tensor rows = contiguous_data(x);
  Shape shape{1, 1, 1};
  if (x.rank() > 0) shape = {numel(x.shape().slice(0, dim)), x.shape()[dim], numel(x.shape().slice(dim + 1, x.rank()))};
  return view_of(rows, shape, contiguous_strides(shape), 0);
}

void check_choice(const char* op, const Tensor& x, int dim) {
  if (x.rank() > 0 && x.shape()[dim] == 0)
    throw ValueError(std::string(op) + ": there is nothing to choose from along dimension " + std::to_string(dim) + " of " +
                     to_string(x.shape()));
}

Tensor put_back(const Tensor& dy, const Tensor& places, const Shape& shape, int dim, bool keepdim) {
  bool lifted = !keepdim && shape.rank() > 0;
  return scatter_add(zeros(shape, dy.dtype(), dy.device()), dim, lifted ? unsqueeze(places, dim) : places,
                     lifted ? unsqueeze(dy, dim) : dy);
}

}  // namespace detail

namespace {

Shape without(const Shape& shape, int dim, bool keepdim) {
  Shape s = shape;
  if (s.rank() == 0) return s;
  if (keepdim) s[dim] = 1;
  else s.erase(dim);
  return s;
}

// dx = dy at the chosen place
ValuesAndIndices extremum(const char* op, bool largest, const Tensor& x, int dim, bool keepdim) {
  dim = checked_dim(op, dim, x.rank());
  detail::check_choice(op, x, dim);
  if (x.dtype() == boolean) {
    ValuesAndIndices of_bytes = extremum(op, largest, to(x, u8), dim, keepdim);
    return {to(of_bytes.values, boolean), of_bytes.indices};
  }
  Shape shape = without(x.shape(), dim, keepdim);
  Tensor values = empty(shape, x.dtype(), x.device(), op), places = empty(shape, i64, x.device(), op);
  if (values.numel() > 0) kernel::extremum(x.device(), largest, detail::around_dim(x, dim), values, places);
  auto out = record(op, std::array{values, places}, {x}, saving(places),
                    [dim, keepdim, before = x.shape()](const Grads& dy, const Saved& s, Needs) -> Grads {
                      return detail::put_back(dy[0], s[0], before, dim, keepdim);
                    });
  return {out[0], out[1]};
}

Tensor place(const char* op, bool largest, const Tensor& x, int dim, bool keepdim) {
  NoGrad off;
  return extremum(op, largest, x, dim, keepdim).indices;
}

Tensor flat(const Tensor& x) { return reshape(x, {x.numel()}); }

// y = the extremum over dims,   dx = dy [x = y] / how many
Tensor shared_extremum(const char* op, bool largest, const Tensor& x, const std::vector<int>& dims, bool keepdim) {
  auto d = detail::reduced_dims(op, x, dims);
  if (numel(d.reduced) == 0 && numel(d.outer) > 0)
    throw ValueError(std::string(op) + ": there is nothing to choose from in " + to_string(x.shape()));
  DType working = x.dtype() == boolean ? u8 : x.dtype() == i32 ? i64 : x.dtype() == bf16 || x.dtype() == f16 ? f32 : x.dtype();
  Tensor y;
  {
    NoGrad off;
    Tensor from = to(x, working);
    y = to(
        detail::reduce(largest ? ReduceOp::maximum : ReduceOp::minimum, op, from, detail::reduced_dims(op, from, dims), keepdim, working),
        x.dtype());
  }
  return record(op, y, {x}, saving(x, y), [dims, kept = d.kept](const Grads& dy, const Saved& s, Needs) -> Grads {
    Tensor share;
    {
      NoGrad off;
      Tensor best = to(s[0] == reshape(s[1], kept), dy[0].dtype() == f64 ? f64 : f32);
      share = to(best / sum(best, dims, true), dy[0].dtype());
    }
    return reshape(dy[0], kept) * share;
  });
}

}  // namespace

ValuesAndIndices max(const Tensor& x, int dim, bool keepdim) { return extremum("max", true, x, dim, keepdim); }
ValuesAndIndices min(const Tensor& x, int dim, bool keepdim) { return extremum("min", false, x, dim, keepdim); }
Tensor max(const Tensor& x) { return shared_extremum("max", true, x, {}, false); }
Tensor min(const Tensor& x) { return shared_extremum("min", false, x, {}, false); }
Tensor amax(const Tensor& x, const std::vector<int>& dims, bool keepdim) { return shared_extremum("amax", true, x, dims, keepdim); }
Tensor amin(const Tensor& x, const std::vector<int>& dims, bool keepdim) { return shared_extremum("amin", false, x, dims, keepdim); }
Tensor argmax(const Tensor& x, int dim, bool keepdim) { return place("argmax", true, x, dim, keepdim); }
Tensor argmin(const Tensor& x, int dim, bool keepdim) { return place("argmin", false, x, dim, keepdim); }
Tensor argmax(const Tensor& x) { return place("argmax", true, flat(x.detach()), 0, false); }
Tensor argmin(const Tensor& x) { return place("argmin", false, flat(x.detach()), 0, false); }

}  // namespace plumb
