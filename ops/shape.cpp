// Views. The derivative of a view puts the gradient back where the view looked.
#include "ops/shape.h"

#include <algorithm>

#include "engine/autograd/engine_operations.h"
#include "engine/autograd/inplace.h"
#include "engine/core/channels_last.h"
#include "engine/core/data_kernels.h"
#include "ops/kernels/pointwise.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"

namespace plumb {
namespace {

// Strides under which x's elements have `shape`, if such exist: every dimension of `shape` lies within a run of x that has no gaps.
bool strides_for(const Tensor& x, const Shape& shape, Strides& strides) {
  if (x.is_contiguous() || x.numel() == 0) {
    strides = contiguous_strides(shape);
    return true;
  }
  strides = Strides::filled(shape.rank(), 1);
  int to = shape.rank() - 1;
  int64_t run = 1, taken = 1, step = x.strides().back();
  for (int from = x.rank() - 1; from >= 0; --from) {
    run *= x.shape()[from];
    bool run_ends = from == 0 || (x.shape()[from - 1] != 1 && x.strides()[from - 1] != run * step);
    if (!run_ends) continue;
    while (to >= 0 && (taken < run || shape[to] == 1)) {
      strides[to] = taken * step;
      taken *= shape[to--];
    }
    if (taken != run) return false;
    if (from > 0) {
      step = x.strides()[from - 1];
      run = taken = 1;
    }
  }
  return to == -1;
}

Shape resolved(const char* op, const Shape& wanted, int64_t count) {
  Shape shape = wanted;
  int64_t known = 1;
  int open = -1;
  bool beyond = false;  // any count of elements
  for (int i = 0; i < shape.rank(); ++i) {
    if (shape[i] == -1 && open < 0) open = i;
    else beyond = __builtin_mul_overflow(known, shape[i], &known) || beyond;
  }
  if (open >= 0 && known > 0 && count % known == 0) shape[open] = count / known;
  if (beyond || numel(shape) != count || std::any_of(shape.begin(), shape.end(), [](int64_t v) { return v < 0; }))
    throw ShapeError(std::string(op) + ": " + std::to_string(count) + " elements do not take the shape " + to_string(wanted));
  return shape;
}

// zeros of `shape` with `g` written at the given geometry (overlapping places add up).
Tensor scattered(const Tensor& g, const Shape& shape, const Strides& strides, int64_t offset, bool overlapping);

}  // namespace

Tensor reshape(const Tensor& x, const Shape& wanted) {
  Shape shape = resolved("reshape", wanted, x.numel());
  if (shape == x.shape()) return x;
  Strides strides;
  if (!strides_for(x, shape, strides)) return reshape(clone(x), shape);
  return record("reshape", view_of(x, shape, strides, 0), {x}, saving(),
                [before = x.shape()](const Grads& dy, const Saved&, Needs) -> Grads { return reshape(dy[0], before); });
}

Tensor flatten(const Tensor& x, int start, int end) {
  start = checked_dim("flatten", start, x.rank());
  end = checked_dim("flatten", end, x.rank());
  if (start > end)
    throw IndexError("flatten: the first dimension " + std::to_string(start) + " comes after the last " + std::to_string(end));
  Shape shape = x.shape().slice(0, std::min(start, x.rank()));
  shape.push_back(-1);
  for (int i = end + 1; i < x.rank(); ++i) shape.push_back(x.shape()[i]);
  if (x.numel() == 0 && x.rank() > 0) shape[start] = numel(x.shape().slice(start, end + 1));
  return reshape(x, shape);
}

Tensor unflatten(const Tensor& x, int dim, const Shape& sizes) {
  dim = checked_dim("unflatten", dim, x.rank());
  Shape shape = x.shape().slice(0, dim);
  for (int64_t v : resolved("unflatten", sizes, x.shape()[dim])) shape.push_back(v);
  for (int i = dim + 1; i < x.rank(); ++i) shape.push_back(x.shape()[i]);
  return reshape(x, shape);
}

Tensor transpose(const Tensor& x, int dim0, int dim1) {
  dim0 = checked_dim("transpose", dim0, x.rank());
  dim1 = checked_dim("transpose", dim1, x.rank());
  if (dim0 == dim1) return x;
  Shape shape = x.shape();
  Strides strides = x.strides();
  std::swap(shape[dim0], shape[dim1]);
  std::swap(strides[dim0], strides[dim1]);
  return record("transpose", view_of(x, shape, strides, 0), {x}, saving(),
                [=](const Grads& dy, const Saved&, Needs) -> Grads { return transpose(dy[0], dim0, dim1); });
}

Tensor mT(const Tensor& x) {
  if (x.rank() < 2) throw ShapeError("mT: needs two dimensions, the shape is " + to_string(x.shape()));
  return transpose(x, -2, -1);
}

Tensor permute(const Tensor& x, const std::vector<int>& dims) {
  Shape shape;
  Strides strides;
  std::vector<int> inverse(dims.size(), -1);
  bool valid = static_cast<int>(dims.size()) == x.rank();
  for (size_t i = 0; valid && i < dims.size(); ++i) {
    int d = checked_dim("permute", dims[i], x.rank());
    valid = inverse[static_cast<size_t>(d)] < 0;
    inverse[static_cast<size_t>(d)] = static_cast<int>(i);
    shape.push_back(x.shape()[d]);
    strides.push_back(x.strides()[d]);
  }
  if (!valid)
    throw ShapeError("permute: the dimensions given are not a permutation of the " + std::to_string(x.rank()) + " of " +
                     to_string(x.shape()));
  return record("permute", view_of(x, shape, strides, 0), {x}, saving(),
                [inverse](const Grads& dy, const Saved&, Needs) -> Grads { return permute(dy[0], inverse); });
}

Tensor movedim(const Tensor& x, int from, int to) {
  from = checked_dim("movedim", from, x.rank());
  to = checked_dim("movedim", to, x.rank());
  std::vector<int> dims;
  for (int i = 0; i < x.rank(); ++i)
    if (i != from) dims.push_back(i);
  dims.insert(dims.begin() + to, from);
  return permute(x, dims);
}

Tensor expand(const Tensor& x, const Shape& wanted) {
  Shape shape = wanted;
  int shift = shape.rank() - x.rank();
  for (int i = 0; i < shape.rank(); ++i)
    if (shape[i] == -1 && i >= shift) shape[i] = x.shape()[i - shift];
  for (int64_t size : shape)
    if (size < 0)
      throw ShapeError("expand: " + to_string(wanted) + " has a negative size; -1 stands for a dimension that " + to_string(x.shape()) +
                       " has");
  if (shape == x.shape()) return x;
  return record("expand", broadcast_view("expand", x, shape), {x}, saving(),
                [before = x.shape()](const Grads& dy, const Saved&, Needs) -> Grads { return sum_to(dy[0], before); });
}

Tensor unsqueeze(const Tensor& x, int dim) {
  dim = checked_dim("unsqueeze", dim, x.rank() + 1);
  Shape shape = x.shape();
  Strides strides = x.strides();
  shape.insert(dim, 1);
  strides.insert(dim, 1);
  return record("unsqueeze", view_of(x, shape, strides, 0), {x}, saving(),
                [dim](const Grads& dy, const Saved&, Needs) -> Grads { return squeeze(dy[0], dim); });
}

Tensor squeeze(const Tensor& x, int dim) {
  dim = checked_dim("squeeze", dim, x.rank());
  if (x.rank() == 0) return x;
  if (x.shape()[dim] != 1) throw ShapeError("squeeze: dimension " + std::to_string(dim) + " of " + to_string(x.shape()) + " is not 1");
  Shape shape = x.shape();
  Strides strides = x.strides();
  shape.erase(dim);
  strides.erase(dim);
  return record("squeeze", view_of(x, shape, strides, 0), {x}, saving(),
                [dim](const Grads& dy, const Saved&, Needs) -> Grads { return unsqueeze(dy[0], dim); });
}

Tensor squeeze(const Tensor& x) {
  Tensor y = x;
  for (int i = x.rank() - 1; i >= 0; --i)
    if (x.shape()[i] == 1) y = squeeze(y, i);
  return y;
}

// A view with geometry (shape, strides, offset) of a row-major image of x: the derivative scatters dy into zeros of x's shape.
static Tensor subview(const char* name, const Tensor& x, const Shape& shape, const Strides& view_strides, int64_t view_offset,
                      const Strides& plain_strides, int64_t plain_offset, bool overlapping = false) {
  return record(name, view_of(x, shape, view_strides, view_offset), {x}, saving(),
                [=, before = x.shape()](const Grads& dy, const Saved&, Needs) -> Grads {
                  return scattered(dy[0], before, plain_strides, plain_offset, overlapping);
                });
}

Tensor slice(const Tensor& x, int dim, int64_t start, int64_t end, int64_t step) {
  dim = checked_dim("slice", dim, x.rank());
  if (step < 1) throw ValueError("slice: the step must be at least 1, it is " + std::to_string(step));
  int64_t size = x.size(dim);
  auto clipped = [size](int64_t i) { return std::clamp<int64_t>(i < 0 ? i + size : i, 0, size); };
  int64_t first = clipped(start), last = std::max(first, clipped(end));
  if (first == 0 && last == size && step == 1) return x;
  Shape shape = x.shape();
  shape[dim] = last > first ? (last - first - 1) / step + 1 : 0;
  if (shape[dim] <= 1) step = 1;  // it leads nowhere
  Strides strides = x.strides(), plain = contiguous_strides(x.shape());
  int64_t offset = first * strides[dim], plain_offset = first * plain[dim];
  strides[dim] *= step;
  plain[dim] *= step;
  return subview("slice", x, shape, strides, offset, plain, plain_offset);
}

Tensor narrow(const Tensor& x, int dim, int64_t start, int64_t length) {
  dim = checked_dim("narrow", dim, x.rank());
  if (start < 0 || length < 0 || start > x.size(dim) || length > x.size(dim) - start)
    throw IndexError("narrow: [" + std::to_string(start) + ", " +
                     (length < 0 || start <= INT64_MAX - length ? std::to_string(start + length) : "2^63 and more") + ") is outside [0, " +
                     std::to_string(x.size(dim)) + ")");
  return slice(x, dim, start, start + length);
}

Tensor select(const Tensor& x, int dim, int64_t index) {
  dim = checked_dim("select", dim, x.rank());
  int64_t size = x.size(dim);
  if (index < -size || index >= size)
    throw IndexError("select: index " + std::to_string(index) + " is outside [0, " + std::to_string(size) + ")");
  if (index < 0) index += size;
  Shape shape = x.shape();
  Strides strides = x.strides(), plain = contiguous_strides(x.shape());
  int64_t offset = index * strides[dim], plain_offset = index * plain[dim];
  shape.erase(dim);
  strides.erase(dim);
  plain.erase(dim);
  return subview("select", x, shape, strides, offset, plain, plain_offset);
}

Tensor diagonal(const Tensor& x, int offset, int dim0, int dim1) {
  dim0 = checked_dim("diagonal", dim0, x.rank());
  dim1 = checked_dim("diagonal", dim1, x.rank());
  if (dim0 == dim1) throw IndexError("diagonal: the two dimensions are the same, " + std::to_string(dim0));
  int64_t rows = x.shape()[dim0], columns = x.shape()[dim1];
  int64_t length = std::max<int64_t>(0, offset >= 0 ? std::min(rows, columns - offset) : std::min(rows + offset, columns));
  Shape shape = x.shape();
  Strides plain = contiguous_strides(x.shape()), strides = x.strides();
  auto take = [&](Strides& s, int64_t& start) {
    int64_t along = s[dim0] + s[dim1];
    start = length == 0 ? 0 : offset >= 0 ? offset * s[dim1] : -offset * s[dim0];
    s.erase(std::max(dim0, dim1));
    s.erase(std::min(dim0, dim1));
    s.push_back(along);
  };
  int64_t view_offset, plain_offset;
  take(strides, view_offset);
  take(plain, plain_offset);
  shape.erase(std::max(dim0, dim1));
  shape.erase(std::min(dim0, dim1));
  shape.push_back(length);
  return subview("diagonal", x, shape, strides, view_offset, plain, plain_offset);
}

Tensor sliding_window(const Tensor& x, int dim, int64_t size, int64_t step) {
  dim = checked_dim("sliding_window", dim, x.rank());
  if (size < 1 || step < 1 || size > x.size(dim))
    throw ValueError("sliding_window: windows of " + std::to_string(size) + " every " + std::to_string(step) + " do not fit into " +
                     std::to_string(x.size(dim)));
  Shape shape = x.shape();
  Strides strides = x.strides(), plain = contiguous_strides(x.shape());
  shape[dim] = (shape[dim] - size) / step + 1;
  shape.push_back(size);
  for (Strides* s : {&strides, &plain}) {
    s->push_back((*s)[dim]);
    (*s)[dim] *= step;
  }
  return subview("sliding_window", x, shape, strides, 0, plain, 0, step < size);
}

// Strides of two dimensions that reach the same element, or a stride of 0.
static bool may_overlap(const Shape& shape, const Strides& strides) {
  std::vector<std::pair<int64_t, int64_t>> axes;
  for (int i = 0; i < shape.rank(); ++i)
    if (shape[i] > 1) axes.push_back({strides[i], shape[i]});
  std::sort(axes.begin(), axes.end());
  int64_t reach = 0;  // the farthest element that the dimensions so far get to
  for (auto [stride, size] : axes) {
    if (stride <= reach) return true;
    reach += stride * (size - 1);
  }
  return false;
}

Tensor as_strided(const Tensor& x, const Shape& shape, const Strides& strides, int64_t offset) {
  int64_t last = offset, reach = 0;
  bool beyond = false;
  for (int i = 0; i < shape.rank(); ++i)
    beyond = beyond || __builtin_mul_overflow(shape[i] - 1, strides[i], &reach) || __builtin_add_overflow(last, reach, &last);
  if (numel(shape) > 0 &&
      (beyond || offset < 0 || last >= x.numel() || std::any_of(strides.begin(), strides.end(), [](int64_t s) { return s < 0; })))
    throw IndexError("as_strided: shape " + to_string(shape) + " with strides " + to_string(strides) + " at " + std::to_string(offset) +
                     " leaves the " + std::to_string(x.numel()) + " elements");
  if (x.is_contiguous()) return subview("as_strided", x, shape, strides, offset, strides, offset, may_overlap(shape, strides));
  return as_strided(clone(x), shape, strides, offset);
}

namespace {

// z = scatter(g): its own derivative reads the gradient back through the same view.
Tensor scattered(const Tensor& g, const Shape& shape, const Strides& strides, int64_t offset, bool overlapping) {
  Tensor z = zeros(shape, g.dtype(), g.device());
  {
    NoGrad off;
    if (!overlapping) {
      Tensor hole = view_of(z, g.shape(), strides, offset);
      kernel::copy(g.device(), g, hole);
    } else {  // add slice by slice along the leading dimensions until slices do not overlap themselves
      auto add_slices = [&](auto&& self, const Tensor& part, const Strides& s, int64_t at) -> void {
        if (!may_overlap(part.shape(), s)) {
          Tensor hole = view_of(z, part.shape(), s, at);
          return add_(hole, part);
        }
        for (int64_t i = 0; i < part.size(0); ++i) self(self, select(part, 0, i), s.slice(1, s.rank()), at + i * s[0]);
      };
      add_slices(add_slices, g, strides, offset);
    }
  }
  return record("scatter_view", z, {g}, saving(), [=, part = g.shape()](const Grads& dz, const Saved&, Needs) -> Grads {
    return as_strided(contiguous(dz[0]), part, strides, offset);
  });
}

}  // namespace

Tensor clone(const Tensor& x) {
  Tensor y = empty_like(x, "clone");
  kernel::copy(x.device(), x, y);
  return record("clone", y, {x}, saving(), [](const Grads& dy, const Saved&, Needs) -> Grads { return dy[0]; });
}

Tensor contiguous(const Tensor& x) { return x.is_contiguous() ? x : clone(x); }

Tensor to(const Tensor& x, DType dtype) {
  if (x.dtype() == dtype) return x;
  Tensor y = empty_for(x.shape(), dtype, x.device(), "to", x);
  kernel::copy(x.device(), x, y);
  if (!is_floating(dtype)) return y;
  return record("to", y, {x}, saving(), [before = x.dtype()](const Grads& dy, const Saved&, Needs) -> Grads { return to(dy[0], before); });
}

Tensor to(const Tensor& x, Device device) {
  if (x.device() == device) return x;
  Tensor y = empty(x.shape(), x.dtype(), device, "to");
  copy_data(x, y);
  return record("to", y, {x}, saving(), [before = x.device()](const Grads& dy, const Saved&, Needs) -> Grads { return to(dy[0], before); });
}

namespace detail {

void register_engine_operations(EngineOperations& slots) {
  slots.add = [](const Tensor& a, const Tensor& b) { return add(a, b); };
  slots.as_strided = as_strided;
  slots.clone = clone;
  slots.has_nan = [](const Tensor& x) {
    bool found = false;
    kernel::has_nan(x.device(), x, found);
    return found;
  };
}

}  // namespace detail
}  // namespace plumb
