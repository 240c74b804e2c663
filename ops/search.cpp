// Counting and searching: what is built on sorted values and on adding up at places.
#include <algorithm>

#include "engine/autograd/record.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/index_call.h"
#include "ops/kernels/sort.h"
#include "ops/pointwise.h"
#include "ops/pointwise_call.h"
#include "ops/scan.h"
#include "ops/shape.h"
#include "ops/sort.h"

namespace plumb {

// Sorted, a new value begins wherever an element differs from the one before; the running count of those numbers the groups.
static Unique unique_values(const Tensor& x) {
  NoGrad off;
  int64_t n = x.numel();
  auto [sorted, order] = sort(reshape(x, {n}), 0);
  Tensor begins = ones({n}, boolean, x.device());
  if (n > 1) {
    Tensor later = slice(begins, 0, 1);
    copy_data(slice(sorted, 0, 1) != slice(sorted, 0, 0, n - 1), later);
  }
  Tensor group = cumsum(begins, 0) - 1;
  Tensor inverse = scatter(zeros({n}, i64, x.device()), 0, order, group);
  return {masked_select(sorted, begins), reshape(inverse, x.shape()), bincount(group)};
}
Unique unique(const Tensor& x) {
  Unique found = unique_values(x);
  found.values = no_derivative("unique", found.values, {x});
  return found;
}

Tensor searchsorted(const Tensor& sorted, const Tensor& wanted, bool right) {
  NoGrad off;
  detail::check_same_device("searchsorted", sorted, wanted);
  DType t = promote(sorted.dtype(), wanted.dtype());
  if (t == boolean) t = u8;
  if (sorted.rank() == 0) throw ShapeError("searchsorted: needs a sorted vector at least");
  bool shared = sorted.rank() == 1;
  bool fits = shared || wanted.rank() == sorted.rank();
  for (int i = 0; fits && !shared && i < sorted.rank() - 1; ++i) fits = sorted.shape()[i] == wanted.shape()[i];
  if (!fits) throw ShapeError("searchsorted: " + to_string(wanted.shape()) + " cannot be looked up in " + to_string(sorted.shape()));
  int64_t n = sorted.size(-1);
  Tensor places = empty(wanted.shape(), i64, wanted.device(), "searchsorted"), rows = contiguous_data(to(sorted, t));
  if (wanted.numel() > 0)
    kernel::searchsorted(wanted.device(), view_of(rows, {shared ? 1 : numel(sorted.shape().slice(0, sorted.rank() - 1)), n}, {n, 1}, 0),
                         contiguous_data(to(wanted, t)), right, places);
  return places;
}

Tensor bincount(const Tensor& x, const Tensor& weights, int64_t minlength) {
  if (x.rank() != 1) throw ShapeError("bincount: takes a vector, got " + to_string(x.shape()));
  if (is_floating(x.dtype()) || x.dtype() == boolean) throw DTypeError("bincount: takes integers, not " + std::string(name(x.dtype())));
  if (weights.defined() && weights.shape() != x.shape())
    throw ShapeError("bincount: " + to_string(weights.shape()) + " weights for " + to_string(x.shape()));
  if (minlength < 0) throw ValueError("bincount: the minimal length is negative: " + std::to_string(minlength));
  Tensor places = detail::checked_index("bincount", to(x, i64), 0, INT64_MAX);
  int64_t length = std::max(minlength, x.numel() == 0 ? 0 : max(places).item<int64_t>() + 1);
  Tensor values = weights.defined() ? weights : ones({x.numel()}, i64, x.device());
  return scatter_add(zeros({length}, values.dtype(), x.device()), 0, places, values);
}

static Tensor counts_in_bins(const Tensor& x, int64_t bins, double low, double high) {
  NoGrad off;
  if (bins < 1 || !(low < high))
    throw ValueError("histc: " + std::to_string(bins) + " bins from " + std::to_string(low) + " to " + std::to_string(high));
  Tensor flat = reshape(x, {x.numel()}), inside = masked_select(flat, logical_and(flat >= low, flat <= high));
  Tensor place = floor((to(inside, f64) - low) * (static_cast<double>(bins) / (high - low)));
  return to(bincount(clamp_max(to(place, i64), static_cast<double>(bins - 1)), {}, bins), x.dtype());
}
Tensor histc(const Tensor& x, int64_t bins, double low, double high) {
  return no_derivative("histc", counts_in_bins(x, bins, low, high), {x});
}

}  // namespace plumb
