// Sorting and selecting along a dimension. The kernels see rows; the gradient goes back to the places that the values came from.
#include "ops/sort.h"

#include <cmath>

#include "engine/autograd/record.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/kernels/sort.h"
#include "ops/pointwise.h"
#include "ops/reduce_call.h"
#include "ops/shape.h"

namespace plumb {
namespace {

// x with `dim` last, as rows [rows, n], row-major, outside the graph.
Tensor as_rows(const Tensor& x, int dim) {
  NoGrad off;
  Tensor last = x.rank() == 0 ? reshape(x, {1}) : contiguous_data(movedim(x, dim, -1));
  int64_t n = last.size(-1);
  return view_of(last, {n == 0 ? 0 : last.numel() / n, n}, {n, 1}, 0);
}

// rows [rows, k] as `shape`, whose dimension `dim` has size k.
Tensor from_rows(const Tensor& rows, Shape shape, int dim) {
  NoGrad off;
  if (shape.rank() == 0) return reshape(rows, {});
  int64_t k = shape[dim];
  shape.erase(dim);
  shape.push_back(k);
  return contiguous(movedim(reshape(rows, shape), -1, dim));
}

// The first k along dim in order.
ValuesAndIndices ordered(const char* op, const Tensor& x, int dim, int64_t k, bool whole, bool descending) {
  if (x.dtype() == boolean) {
    ValuesAndIndices of_bytes = ordered(op, to(x, u8), dim, k, whole, descending);
    return {to(of_bytes.values, boolean), of_bytes.indices};
  }
  Shape shape = x.shape();
  if (shape.rank() > 0) shape[dim] = k;
  Tensor rows = as_rows(x, dim), values = empty({rows.size(0), k}, x.dtype(), x.device(), op), places = empty({rows.size(0), k}, i64, x.device(), op);
  if (numel(shape) > 0) whole ? kernel::sort(x.device(), rows, descending, values, places) : kernel::topk(x.device(), rows, k, descending, values, places);
  else values = empty(shape, x.dtype(), x.device()), places = empty(shape, i64, x.device());
  values = from_rows(values, shape, dim);
  places = from_rows(places, shape, dim);
  auto out = record(op, std::array{values, places}, {x}, saving(places), [dim, before = x.shape()](const Grads& dy, const Saved& s, Needs) -> Grads {
    return detail::put_back(dy[0], s[0], before, dim, true);
  });
  return {out[0], out[1]};
}

int64_t size_along(const Tensor& x, int dim) { return x.rank() == 0 ? 1 : x.shape()[dim]; }

}  // namespace

ValuesAndIndices sort(const Tensor& x, int dim, bool descending) {
  dim = checked_dim("sort", dim, x.rank());
  return ordered("sort", x, dim, size_along(x, dim), true, descending);
}

Tensor argsort(const Tensor& x, int dim, bool descending) {
  NoGrad off;
  dim = checked_dim("argsort", dim, x.rank());
  return ordered("argsort", x, dim, size_along(x, dim), true, descending).indices;
}

ValuesAndIndices topk(const Tensor& x, int64_t k, int dim, bool largest) {
  dim = checked_dim("topk", dim, x.rank());
  if (k < 0 || k > size_along(x, dim)) throw ValueError("topk: k = " + std::to_string(k) + " is outside [0, " + std::to_string(size_along(x, dim)) + "]");
  return ordered("topk", x, dim, k, false, largest);
}

}  // namespace plumb
