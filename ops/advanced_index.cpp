// Indexing over several dimensions. The indexed dimensions are brought side by side and merged into one, the index tensors become
// places along it, and gathering or scattering along one dimension does the rest, derivatives included.
#include <algorithm>
#include <cmath>

#include "engine/autograd/record.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/index_call.h"
#include "ops/join.h"
#include "ops/kernels/index.h"
#include "ops/pointwise.h"
#include "ops/pointwise_call.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb {
namespace {

// The row-major places of the true elements.
Tensor true_places(const Tensor& mask) {
  NoGrad off;
  Tensor rows = contiguous_data(mask);
  int64_t count = 0;
  kernel::count_true(mask.device(), rows, count);
  Tensor places = empty({count}, i64, mask.device(), "nonzero");
  kernel::true_places(mask.device(), rows, places);
  return places;
}

Tensor as_mask(const Tensor& x) { return x.dtype() == boolean ? x : x != 0; }

// Row-major places within `shape` as one coordinate a dimension.
std::vector<Tensor> coordinates(Tensor place, const Shape& shape) {
  std::vector<Tensor> all;
  Strides strides = contiguous_strides(shape);
  for (int d = 0; d < shape.rank(); ++d) {
    Tensor step = scalar_tensor(std::max<int64_t>(1, strides[d]), i64, place.device());
    all.push_back(floor_divide(place, step));
    place = remainder(place, step);
  }
  return all;
}

// One index tensor a dimension: masks replaced by the coordinates of their true elements, missing ones undefined.
std::vector<Tensor> one_for_each_dim(const char* op, const Tensor& x, const std::vector<Tensor>& indices) {
  std::vector<Tensor> all;
  for (const Tensor& t : indices) {
    auto d = static_cast<int>(all.size());
    if (t.defined()) detail::check_same_device(op, x, t);
    if (t.defined() && t.dtype() == boolean) {
      if (t.rank() == 0 || d + t.rank() > x.rank() || x.shape().slice(d, d + t.rank()) != t.shape())
        throw ShapeError(std::string(op) + ": a mask " + to_string(t.shape()) + " does not fit " + to_string(x.shape()) +
                         " from dimension " + std::to_string(d) + " on");
      for (Tensor& c : coordinates(true_places(t), t.shape())) all.push_back(c);
    } else {
      all.push_back(t);
    }
  }
  if (static_cast<int>(all.size()) > x.rank())
    throw IndexError(std::string(op) + ": indices for " + std::to_string(all.size()) + " dimensions, the shape is " + to_string(x.shape()));
  all.resize(static_cast<size_t>(x.rank()));
  return all;
}

// How x[indices] is read: x permuted by `order`, its dimensions [first, first + indexed) merged, read at `places` (a vector).
struct Plan {
  std::vector<int> order, inverse;
  int first = 0, indexed = 0;
  Shape permuted, index_shape, result;
  Tensor places;
  Shape merged() const {
    Shape s = permuted.slice(0, first);
    s.push_back(numel(permuted.slice(first, first + indexed)));
    for (int i = first + indexed; i < permuted.rank(); ++i) s.push_back(permuted[i]);
    return s;
  }
};

Plan plan(const char* op, const Tensor& x, const std::vector<Tensor>& given) {
  NoGrad off;
  std::vector<Tensor> index = one_for_each_dim(op, x, given);
  Plan p;
  std::vector<int> with, without;
  for (int d = 0; d < x.rank(); ++d) (index[static_cast<size_t>(d)].defined() ? with : without).push_back(d);
  p.indexed = static_cast<int>(with.size());
  if (p.indexed == 0) throw ValueError(std::string(op) + ": no index is given");
  bool neighbours = with.back() - with.front() + 1 == p.indexed;
  p.first = neighbours ? with.front() : 0;
  p.order = without;
  p.order.insert(p.order.begin() + p.first, with.begin(), with.end());
  p.inverse.resize(p.order.size());
  for (size_t i = 0; i < p.order.size(); ++i) {
    p.inverse[static_cast<size_t>(p.order[i])] = static_cast<int>(i);
    p.permuted.push_back(x.shape()[p.order[i]]);
  }
  for (int d : with) p.index_shape = broadcast_shapes(op, p.index_shape, index[static_cast<size_t>(d)].shape());
  for (int d : with) {
    int64_t n = x.shape()[d];
    Tensor i = detail::checked_index(op, index[static_cast<size_t>(d)], -n, n);
    i = expand(where(i < 0, i + n, i), p.index_shape);
    p.places = p.places.defined() ? p.places * n + i : i;
  }
  p.places = reshape(p.places, {p.places.numel()});
  p.result = p.permuted.slice(0, p.first);
  for (int64_t n : p.index_shape) p.result.push_back(n);
  for (int i = p.first + p.indexed; i < x.rank(); ++i) p.result.push_back(p.permuted[i]);
  return p;
}

}  // namespace

Tensor index(const Tensor& x, const std::vector<Tensor>& indices) {
  Plan p = plan("index", x, indices);
  return reshape(index_select(reshape(permute(x, p.order), p.merged()), p.first, p.places), p.result);
}

Tensor index_put(const Tensor& x, const std::vector<Tensor>& indices, const Tensor& values, bool accumulate) {
  Plan p = plan("index_put", x, indices);
  detail::check_same_device("index_put", x, values);
  if (broadcast_shapes("index_put", values.shape(), p.result) != p.result)
    throw ShapeError("index_put: values of shape " + to_string(values.shape()) + " do not fit " + to_string(p.result));
  Tensor into = reshape(permute(x, p.order), p.merged());
  Shape slices = into.shape();
  slices[p.first] = p.places.numel();
  Tensor src = reshape(expand(to(values, x.dtype()), p.result), slices);
  Tensor z = accumulate ? index_add(into, p.first, p.places, src) : index_copy(into, p.first, p.places, src);
  return permute(reshape(z, p.permuted), p.inverse);
}

Tensor nonzero(const Tensor& x) {
  NoGrad off;
  Tensor places = true_places(as_mask(x));
  return x.rank() == 0 ? zeros({places.numel(), 0}, i64, x.device()) : stack(coordinates(places, x.shape()), 1);
}

static void check_mask(const char* op, const Tensor& x, const Tensor& mask) {
  if (mask.dtype() != boolean) throw DTypeError(std::string(op) + ": the mask must be bool, it is " + std::string(name(mask.dtype())));
  detail::check_same_device(op, x, mask);
}

Tensor masked_select(const Tensor& x, const Tensor& mask) {
  check_mask("masked_select", x, mask);
  Shape shape = broadcast_shapes("masked_select", x.shape(), mask.shape());
  return index_select(reshape(expand(x, shape), {numel(shape)}), 0, true_places(broadcast_view("masked_select", mask, shape)));
}

Tensor masked_fill(const Tensor& x, const Tensor& mask, Scalar value) {
  check_mask("masked_fill", x, mask);
  detail::check_holds("masked_fill", x, value.value() != std::trunc(value.value()));
  return where(mask, scalar_tensor(value, x.dtype(), x.device()), x);
}
Tensor masked_fill(const Tensor& x, const Tensor& mask, const Tensor& value) {
  check_mask("masked_fill", x, mask);
  if (value.numel() != 1) throw ShapeError("masked_fill: the value must be one number, its shape is " + to_string(value.shape()));
  return where(mask, reshape(to(value, x.dtype()), {}), x);
}

// z = x but in the slice,   dx = dz with 0 in the slice,   dsrc = the slice of dz
Tensor slice_assign(const Tensor& x, const Tensor& src, int dim, int64_t start, int64_t end, int64_t step) {
  dim = checked_dim("slice_assign", dim, x.rank());
  Tensor z = empty_like(x, "slice_assign");
  {
    NoGrad off;
    Tensor hole = slice(z, dim, start, end, step), from = broadcast_view("slice_assign", src, hole.shape());
    copy_data(x, z);
    copy_data(from, hole);
  }
  return record("slice_assign", z, {x, src}, saving(),
                [=, shape = src.shape(), dtype = src.dtype()](const Grads& dz, const Saved&, Needs needs) -> Grads {
                  Tensor dx, dsrc;
                  if (needs[0]) dx = slice_assign(dz[0], zeros({}, dz[0].dtype(), dz[0].device()), dim, start, end, step);
                  if (needs[1]) dsrc = sum_to(to(slice(dz[0], dim, start, end, step), dtype), shape);
                  return {dx, dsrc};
                });
}

Tensor one_hot(const Tensor& label, int64_t classes) {
  NoGrad off;
  if (classes < -1) throw ValueError("one_hot: the number of classes is negative: " + std::to_string(classes));
  if (classes < 0 && label.numel() > 0 && min(label).item<int64_t>() < 0)
    throw IndexError("one_hot: labels must not be negative, one is " + std::to_string(min(label).item<int64_t>()));
  Tensor labels = detail::checked_index("one_hot", label, 0, classes < 0 ? INT64_MAX : classes);
  if (classes < 0) classes = labels.numel() == 0 ? 0 : max(labels).item<int64_t>() + 1;
  return to(unsqueeze(labels, -1) == arange(classes, i64, label.device()), i64);
}

}  // namespace plumb
