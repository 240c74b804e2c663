// Joining is copying into views of the result, splitting is views of the input: each is the other's derivative.
#include "ops/join.h"

#include <algorithm>
#include <numeric>

#include "engine/autograd/record.h"
#include "engine/core/channels_last.h"
#include "engine/core/data_kernels.h"
#include "ops/create.h"
#include "ops/index.h"
#include "ops/own_memory.h"
#include "ops/pointwise.h"
#include "ops/pointwise_call.h"
#include "ops/shape.h"

namespace plumb {
namespace {

// n elements from `start` along dim, outside the graph.
Tensor part_of(const Tensor& x, int dim, int64_t start, int64_t n) {
  Shape shape = x.shape();
  shape[dim] = n;
  return view_of(x, shape, x.strides(), n == 0 ? 0 : start * x.strides()[dim]);
}

// All as one type; devices and numbers checked.
std::vector<Tensor> promoted(const char* op, const std::vector<Tensor>& tensors) {
  if (tensors.empty()) throw ValueError(std::string(op) + ": there is nothing to join");
  DType t = tensors[0].dtype();
  for (const Tensor& x : tensors) t = promote(t, x.dtype());
  std::vector<Tensor> same;
  for (const Tensor& x : tensors) {
    detail::check_same_device(op, tensors[0], x);
    same.push_back(to(x, t));
  }
  return same;
}

}  // namespace

// dx_k = the part of dy that x_k went to
Tensor cat(const std::vector<Tensor>& tensors, int dim) {
  std::vector<Tensor> x = promoted("cat", tensors);
  if (x[0].rank() == 0) throw ShapeError("cat: tensors of rank 0 have no dimension to join along; stack them");
  dim = checked_dim("cat", dim, x[0].rank());
  Shape shape = x[0].shape();
  std::vector<int64_t> sizes;
  for (const Tensor& t : x) {
    bool fits = t.rank() == shape.rank();
    for (int i = 0; fits && i < shape.rank(); ++i) fits = i == dim || t.shape()[i] == shape[i];
    if (!fits)
      throw ShapeError("cat: " + to_string(t.shape()) + " does not continue " + to_string(x[0].shape()) + " along dimension " +
                       std::to_string(dim));
    sizes.push_back(t.shape()[dim]);
  }
  shape[dim] = std::accumulate(sizes.begin(), sizes.end(), int64_t{0});
  bool last = std::any_of(x.begin(), x.end(), [](const Tensor& t) { return channels_last(t); });
  Tensor y = empty_in_order(shape, x[0].dtype(), x[0].device(), "cat", last);
  int64_t at = 0;
  for (const Tensor& t : x) {
    Tensor place = part_of(y, dim, at, t.shape()[dim]);
    kernel::copy(y.device(), t, place);
    at += t.shape()[dim];
  }
  return record("cat", y, x, saving(), [dim, sizes](const Grads& dy, const Saved&, Needs needs) -> Grads {
    Grads dx;
    int64_t at = 0;
    for (size_t i = 0; i < sizes.size(); ++i) {
      dx.push_back(needs[i] ? slice(dy[0], dim, at, at + sizes[i]) : Tensor());
      at += sizes[i];
    }
    return dx;
  });
}

// dx_k = dy[k]
Tensor stack(const std::vector<Tensor>& tensors, int dim) {
  std::vector<Tensor> x = promoted("stack", tensors);
  dim = checked_dim("stack", dim, x[0].rank() + 1);
  Shape shape = x[0].shape();
  for (const Tensor& t : x)
    if (t.shape() != shape) throw ShapeError("stack: the shapes differ: " + to_string(shape) + " and " + to_string(t.shape()));
  shape.insert(dim, static_cast<int64_t>(x.size()));
  Tensor y = empty(shape, x[0].dtype(), x[0].device(), "stack");
  Strides within = y.strides();
  within.erase(dim);
  for (size_t i = 0; i < x.size(); ++i) {
    Tensor place = view_of(y, x[0].shape(), within, y.numel() == 0 ? 0 : static_cast<int64_t>(i) * y.strides()[dim]);
    kernel::copy(y.device(), x[i], place);
  }
  return record("stack", y, x, saving(), [dim, count = x.size()](const Grads& dy, const Saved&, Needs needs) -> Grads {
    Grads dx;
    for (size_t i = 0; i < count; ++i) dx.push_back(needs[i] ? select(dy[0], dim, static_cast<int64_t>(i)) : Tensor());
    return dx;
  });
}

// One node for all parts, so that backward writes dx once:   dx = dy_1, dy_2, … joined
std::vector<Tensor> split(const Tensor& x, const std::vector<int64_t>& sizes, int dim) {
  dim = checked_dim("split", dim, x.rank());
  int64_t total = 0;
  for (int64_t n : sizes) {
    if (n < 0) throw ValueError("split: a size is negative: " + std::to_string(n));
    total += n;
  }
  if (x.rank() == 0 || total != x.shape()[dim])
    throw ShapeError("split: sizes that add up to " + std::to_string(total) + " do not divide " + to_string(x.shape()) +
                     " along dimension " + std::to_string(dim));
  std::vector<Tensor> parts;
  int64_t at = 0;
  for (int64_t n : sizes) {
    parts.push_back(part_of(x, dim, at, n));
    at += n;
  }
  return record("split", std::move(parts), {x}, saving(), [dim](const Grads& dy, const Saved&, Needs) -> Grads {
    return cat({dy.begin(), dy.end()}, dim);
  });
}

std::vector<Tensor> split(const Tensor& x, int64_t size, int dim) {
  if (size < 1) throw ValueError("split: the size must be at least 1, it is " + std::to_string(size));
  int64_t n = x.size(dim);
  std::vector<int64_t> sizes;
  for (int64_t at = 0; at < std::max<int64_t>(n, 1); at += size) sizes.push_back(std::min(size, n - at));
  return split(x, sizes, dim);
}

std::vector<Tensor> chunk(const Tensor& x, int64_t count, int dim) {
  if (count < 1) throw ValueError("chunk: the number of parts must be at least 1, it is " + std::to_string(count));
  return split(x, std::max<int64_t>(1, (x.size(dim) + count - 1) / count), dim);
}

std::vector<Tensor> unbind(const Tensor& x, int dim) {
  dim = checked_dim("unbind", dim, x.rank());
  if (x.rank() == 0) throw ShapeError("unbind: a tensor of rank 0 has no dimension to take apart");
  Shape shape = x.shape();
  Strides strides = x.strides();
  shape.erase(dim);
  strides.erase(dim);
  std::vector<Tensor> parts;
  for (int64_t i = 0; i < x.shape()[dim]; ++i) parts.push_back(view_of(x, shape, strides, i * x.strides()[dim]));
  return record("unbind", std::move(parts), {x}, saving(), [dim](const Grads& dy, const Saved&, Needs) -> Grads {
    return stack({dy.begin(), dy.end()}, dim);
  });
}

// One dimension at a time, the last first: what is copied grows towards the result.
Tensor repeat(const Tensor& x, const std::vector<int64_t>& repeats) {
  int rank = static_cast<int>(repeats.size()), added = rank - x.rank();
  if (added < 0)
    throw ShapeError("repeat: " + std::to_string(rank) + " numbers for the " + std::to_string(x.rank()) + " dimensions of " +
                     to_string(x.shape()));
  Shape shape = Shape::filled(added, 1);
  for (int64_t n : x.shape()) shape.push_back(n);
  Tensor y = reshape(x, shape);
  for (int d = rank - 1; d >= 0; --d) {
    int64_t times = repeats[static_cast<size_t>(d)];
    if (times < 0) throw ValueError("repeat: a number is negative: " + std::to_string(times));
    if (times == 1) continue;
    int64_t before = numel(shape.slice(0, d)), after = numel(shape.slice(d, rank));
    shape[d] *= times;
    y = reshape(expand(reshape(y, {before, 1, after}), {before, times, after}), shape);
  }
  return detail::with_own_memory(contiguous(y), x);
}

Tensor tile(const Tensor& x, const std::vector<int64_t>& repeats) {
  std::vector<int64_t> all(repeats);
  all.insert(all.begin(), static_cast<size_t>(std::max(0, x.rank() - static_cast<int>(repeats.size()))), 1);
  return repeat(x, all);
}

Tensor repeat_interleave(const Tensor& x, int64_t repeats, int dim) {
  dim = checked_dim("repeat_interleave", dim, x.rank());
  if (repeats < 0) throw ValueError("repeat_interleave: the number is negative: " + std::to_string(repeats));
  Tensor y = x.rank() == 0 ? reshape(x, {1}) : x;
  Shape shape = y.shape(), inserted{numel(shape.slice(0, dim + 1)), repeats, numel(shape.slice(dim + 1, shape.rank()))};
  shape[dim] *= repeats;
  return detail::with_own_memory(reshape(expand(reshape(y, {inserted[0], 1, inserted[2]}), inserted), shape), x);
}

Tensor repeat_interleave(const Tensor& x, const Tensor& repeats, int dim) {
  dim = checked_dim("repeat_interleave", dim, x.rank());
  if (is_floating(repeats.dtype()) || repeats.rank() != 1 || repeats.numel() != x.size(dim))
    throw ShapeError("repeat_interleave: needs " + std::to_string(x.size(dim)) + " integers, got " + std::string(name(repeats.dtype())) +
                     " " + to_string(repeats.shape()));
  std::vector<int64_t> places, times = to_vector<int64_t>(repeats);
  for (size_t i = 0; i < times.size(); ++i) {
    if (times[i] < 0) throw ValueError("repeat_interleave: a number is negative: " + std::to_string(times[i]));
    places.insert(places.end(), static_cast<size_t>(times[i]), static_cast<int64_t>(i));
  }
  return index_select(x, dim, to(from_vector(places), x.device()));
}

Tensor roll(const Tensor& x, const std::vector<int64_t>& shifts, const std::vector<int>& dims) {
  if (shifts.size() != dims.size())
    throw ValueError("roll: " + std::to_string(shifts.size()) + " shifts for " + std::to_string(dims.size()) + " dimensions");
  Tensor y = x;
  for (size_t i = 0; i < dims.size(); ++i) {
    int64_t n = y.size(dims[i]), shift = n == 0 ? 0 : (shifts[i] % n + n) % n;
    if (shift != 0) y = cat({slice(y, dims[i], n - shift), slice(y, dims[i], 0, n - shift)}, dims[i]);
  }
  return detail::with_own_memory(y, x);
}
Tensor roll(const Tensor& x, int64_t shift) { return reshape(roll(reshape(x, {x.numel()}), {shift}, {0}), x.shape()); }

// A copy of a view whose strides run backwards.   dx = dy flipped
Tensor flip(const Tensor& x, const std::vector<int>& dims) {
  Strides strides = x.strides();
  int64_t offset = 0;
  for (size_t i = 0; i < dims.size(); ++i) {
    int d = checked_dim("flip", dims[i], x.rank());
    for (size_t j = 0; j < i; ++j)
      if (checked_dim("flip", dims[j], x.rank()) == d) throw IndexError("flip: dimension " + std::to_string(d) + " is given twice");
    if (x.rank() == 0) continue;
    offset += std::max<int64_t>(0, x.shape()[d] - 1) * strides[d];
    strides[d] = -strides[d];
  }
  Tensor y = empty(x.shape(), x.dtype(), x.device(), "flip");
  if (x.numel() > 0) kernel::copy(x.device(), view_of(x, x.shape(), strides, offset), y);
  return record("flip", y, {x}, saving(), [dims](const Grads& dy, const Saved&, Needs) -> Grads { return flip(dy[0], dims); });
}

Tensor rot90(const Tensor& x, int turns, int dim0, int dim1) {
  dim0 = checked_dim("rot90", dim0, x.rank());
  dim1 = checked_dim("rot90", dim1, x.rank());
  if (dim0 == dim1) throw IndexError("rot90: the two dimensions are the same, " + std::to_string(dim0));
  switch (((turns % 4) + 4) % 4) {
    case 1: return transpose(flip(x, {dim1}), dim0, dim1);
    case 2: return flip(x, {dim0, dim1});
    case 3: return flip(transpose(x, dim0, dim1), {dim1});
    default: return clone(x);
  }
}

}  // namespace plumb
