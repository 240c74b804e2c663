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

enum class Selection { all, first, first_in_place };  // first_in_place: the first of the order, as they stand in x

// All, or the first k along dim.
ValuesAndIndices ordered(const char* op, const Tensor& x, int dim, int64_t k, Selection selection, bool descending) {
  if (x.dtype() == boolean) {
    ValuesAndIndices of_bytes = ordered(op, to(x, u8), dim, k, selection, descending);
    return {to(of_bytes.values, boolean), of_bytes.indices};
  }
  Shape shape = x.shape();
  if (shape.rank() > 0) shape[dim] = k;
  Tensor rows = as_rows(x, dim), values = empty({rows.size(0), k}, x.dtype(), x.device(), op),
         places = empty({rows.size(0), k}, i64, x.device(), op);
  if (numel(shape) == 0) {
    values = empty(shape, x.dtype(), x.device());
    places = empty(shape, i64, x.device());
  } else if (selection == Selection::all) {
    kernel::sort(x.device(), rows, descending, values, places);
  } else {
    kernel::topk(x.device(), rows, k, descending, values, places);
    if (selection == Selection::first_in_place) {
      Tensor best = places, order = empty(best.shape(), i64, x.device(), op);
      places = empty(best.shape(), i64, x.device(), op);
      kernel::sort(x.device(), best, false, places, order);
      NoGrad off;
      values = gather(values, 1, order);
    }
  }
  values = from_rows(values, shape, dim);
  places = from_rows(places, shape, dim);
  auto out = record(op, std::array{values, places}, {x}, saving(places),
                    [dim, before = x.shape()](const Grads& dy, const Saved& s, Needs) -> Grads {
                      return detail::put_back(dy[0], s[0], before, dim, true);
                    });
  return {out[0], out[1]};
}

int64_t size_along(const Tensor& x, int dim) { return x.rank() == 0 ? 1 : x.shape()[dim]; }

}  // namespace

ValuesAndIndices sort(const Tensor& x, int dim, bool descending) {
  dim = checked_dim("sort", dim, x.rank());
  return ordered("sort", x, dim, size_along(x, dim), Selection::all, descending);
}

Tensor argsort(const Tensor& x, int dim, bool descending) {
  NoGrad off;
  dim = checked_dim("argsort", dim, x.rank());
  return ordered("argsort", x, dim, size_along(x, dim), Selection::all, descending).indices;
}

ValuesAndIndices topk(const Tensor& x, int64_t k, int dim, bool largest, bool sorted) {
  dim = checked_dim("topk", dim, x.rank());
  if (k < 0 || k > size_along(x, dim))
    throw ValueError("topk: k = " + std::to_string(k) + " is outside [0, " + std::to_string(size_along(x, dim)) + "]");
  return ordered("topk", x, dim, k, sorted ? Selection::first : Selection::first_in_place, largest);
}

// The k-th smallest is the last of the k smallest; where less is to be kept, the other end.
ValuesAndIndices kthvalue(const Tensor& x, int64_t k, int dim, bool keepdim) {
  dim = checked_dim("kthvalue", dim, x.rank());
  int64_t n = size_along(x, dim);
  if (k < 1 || k > n) throw ValueError("kthvalue: k = " + std::to_string(k) + " is outside [1, " + std::to_string(n) + "]");
  ValuesAndIndices first = ordered("kthvalue", x, dim, k, Selection::first, false);
  if (x.rank() == 0) return first;
  if (keepdim) return {slice(first.values, dim, k - 1), slice(first.indices, dim, k - 1)};
  return {select(first.values, dim, k - 1), select(first.indices, dim, k - 1)};
}

ValuesAndIndices median(const Tensor& x, int dim, bool keepdim) {
  dim = checked_dim("median", dim, x.rank());
  detail::check_choice("median", x, dim);
  ValuesAndIndices lower = kthvalue(x, (size_along(x, dim) + 1) / 2, dim, true);
  if (is_floating(x.dtype()) && x.rank() > 0) {  // a NaN anywhere is the median: the largest, where a NaN counts as such
    ValuesAndIndices largest = max(x, dim, true);
    Tensor spoiled = isnan(largest.values);
    lower.indices = where(spoiled, largest.indices, lower.indices);
    lower.values = where(spoiled, largest.values, lower.values);
  }
  if (keepdim || x.rank() == 0) return lower;
  return {squeeze(lower.values, dim), squeeze(lower.indices, dim)};
}
Tensor median(const Tensor& x) { return median(reshape(x, {x.numel()}), 0).values; }

// With h = q (n − 1):   y = (1 − (h − ⌊h⌋)) x_⌊h⌋ + (h − ⌊h⌋) x_⌊h⌋₊₁ of the sorted x
Tensor quantile(const Tensor& x, const std::vector<double>& q, const std::vector<int>& dims, bool keepdim) {
  if (!is_floating(x.dtype())) throw DTypeError("quantile: takes floating tensors, not " + std::string(name(x.dtype())));
  for (double part : q)
    if (!(part >= 0 && part <= 1)) throw ValueError("quantile: q = " + decimal(part) + " is outside [0, 1]");
  auto d = detail::reduced_dims("quantile", x, dims);
  int64_t n = numel(d.reduced);
  if (n == 0 || q.empty())
    throw ValueError("quantile: there is nothing to choose from in " + to_string(x.shape()) + " for " + std::to_string(q.size()) + " q");
  std::vector<int> order;
  for (int reduced = 0; reduced < 2; ++reduced)
    for (int i = 0; i < x.rank(); ++i)
      if ((dims.empty() || d.kept[i] != x.shape()[i]) == (reduced == 1)) order.push_back(i);
  Tensor rows = sort(reshape(permute(x, order), {numel(d.outer), n})).values;
  Tensor spoiled = isnan(slice(rows, 1, n - 1));
  std::vector<Tensor> results;
  for (double part : q) {
    double h = part * static_cast<double>(n - 1), weight = h - std::floor(h);
    auto below = static_cast<int64_t>(h);
    Tensor y = select(rows, 1, below);
    if (weight > 0) {
      Tensor above = select(rows, 1, below + 1);
      y = where(y == above, y, lerp(y, above, weight));  // also where both are infinite
    }
    y = where(squeeze(spoiled, 1), NAN, y);
    results.push_back(reshape(y, d.result(keepdim)));
  }
  return stack(results);
}
Tensor quantile(const Tensor& x, double q, const std::vector<int>& dims, bool keepdim) {
  return select(quantile(x, std::vector<double>{q}, dims, keepdim), 0, 0);
}

}  // namespace plumb
