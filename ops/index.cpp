// Gathering and scattering along one dimension. The derivative of reading is adding in the same places, and the other way round.
#include "ops/index.h"

#include <limits>

#include "engine/autograd/record.h"
#include "ops/create.h"
#include "ops/index_call.h"
#include "ops/kernels/index.h"
#include "ops/pointwise.h"
#include "ops/pointwise_call.h"
#include "ops/scan.h"
#include "ops/shape.h"
#include "ops/sort.h"

namespace plumb {
namespace detail {

Tensor checked_index(const char* op, const Tensor& index, int64_t low, int64_t high) {
  if (index.dtype() != i64 && index.dtype() != i32)
    throw DTypeError(std::string(op) + ": the index must be i64 or i32, it is " + std::string(name(index.dtype())));
  Tensor places = to(index, i64);
  bool found = false;
  int64_t value = 0;
  kernel::check_index(places.device(), op, places, low, high, found, value);
  if (found)
    throw IndexError(std::string(op) + ": index " + std::to_string(value) + " is outside [" + std::to_string(low) + ", " +
                     std::to_string(high) + ")");
  return places;
}

}  // namespace detail

namespace {

// x, index (and src) as tensors of rank ≥ 1.
Tensor at_least_1d(const Tensor& x) { return x.rank() == 0 ? reshape(x, {1}) : x; }

void check_sizes(const char* op, const Tensor& x, const Tensor& index, int dim) {
  bool fits = x.rank() == index.rank();
  for (int i = 0; fits && i < x.rank(); ++i) fits = i == dim || index.shape()[i] <= x.shape()[i];
  if (!fits)
    throw ShapeError(std::string(op) + ": an index of shape " + to_string(index.shape()) + " does not fit " + to_string(x.shape()) +
                     " along dimension " + std::to_string(dim));
}

// The first index.shape() elements of src, without copying.
Tensor corner(const Tensor& src, const Shape& shape) {
  Tensor part = src;
  for (int i = 0; i < shape.rank(); ++i) part = narrow(part, i, 0, shape[i]);
  return part;
}

// Sums are kept in f32 for the 16-bit types and in i64 for integers.
DType sum_type(DType t) { return t == f64 || t == f32 ? t : is_floating(t) ? f32 : i64; }

// x with src joined in along dim, outside the graph; index is checked.
Tensor scattered(ScatterOp op, const char* name, const Tensor& x, int dim, const Tensor& index, const Tensor& src) {
  NoGrad off;
  DType t = op == ScatterOp::copy ? x.dtype() : sum_type(x.dtype());
  Tensor z = empty(x.shape(), t, x.device(), name);
  copy_data(x, z);
  kernel::scatter(x.device(), op, dim, index, to(src, t), z);
  return to(z, x.dtype());
}

Tensor gathered(const char* name, const Tensor& x, int dim, const Tensor& index) {
  Tensor y = empty(index.shape(), x.dtype(), x.device(), name);
  kernel::gather(x.device(), x, dim, index, y);
  return y;
}

// A checked index: gather without another look at it.
Tensor gather_at(const char* name, const Tensor& x, int dim, const Tensor& index);
Tensor scatter_add_at(const char* name, const Tensor& x, int dim, const Tensor& index, const Tensor& src);

// y = x[index],   dx = 0 with dy added at index
Tensor gather_at(const char* name, const Tensor& x, int dim, const Tensor& index) {
  return record(name, gathered(name, x, dim, index), {x}, saving(index),
                [=, shape = x.shape()](const Grads& dy, const Saved& s, Needs) -> Grads {
                  return scatter_add_at(name, zeros(shape, dy[0].dtype(), dy[0].device()), dim, s[0], dy[0]);
                });
}

// z = x with src added at index,   dx = dz,   dsrc = dz[index]
Tensor scatter_add_at(const char* name, const Tensor& x, int dim, const Tensor& index, const Tensor& src) {
  return record(name, scattered(ScatterOp::add, name, x, dim, index, src), {x, src}, saving(index),
                [=](const Grads& dz, const Saved& s, Needs needs) -> Grads {
                  return {needs[0] ? dz[0] : Tensor(), needs[1] ? gather_at(name, dz[0], dim, s[0]) : Tensor()};
                });
}

// 1 for the elements of index that are the last of their place along dim, else 0.
Tensor winners(const Shape& shape, int dim, const Tensor& index, DType dtype) {
  NoGrad off;
  Shape line = Shape::filled(index.rank(), 1);
  line[dim] = index.shape()[dim];
  Tensor order = expand(reshape(arange(index.shape()[dim], i64, index.device()), line), index.shape());
  Tensor last = scattered(ScatterOp::copy, "scatter", zeros(shape, i64, index.device()), dim, index, order);
  return to(gathered("scatter", last, dim, index) == order, dtype);
}

// z = x with src put at index,   dx = dz with 0 at index,   dsrc = dz[index] where src stayed
Tensor scatter_at(const char* name, const Tensor& x, int dim, const Tensor& index, const Tensor& src) {
  return record(name, scattered(ScatterOp::copy, name, x, dim, index, src), {x, src}, saving(index),
                [=, shape = x.shape()](const Grads& dz, const Saved& s, Needs needs) -> Grads {
                  Tensor index = s[0], dx, dsrc;
                  if (needs[0]) dx = scatter_at(name, dz[0], dim, index, zeros(index.shape(), dz[0].dtype(), dz[0].device()));
                  if (needs[1]) dsrc = gather_at(name, dz[0], dim, index) * winners(shape, dim, index, dz[0].dtype());
                  return {dx, dsrc};
                });
}

// What scatter's forms have in common: shapes checked, src cut to the index, ranks of 0 lifted.
struct Scattering {
  int dim;
  Tensor x, index, src;
};
Scattering checked_scatter(const char* op, const Tensor& x, int dim, const Tensor& index, const Tensor& src) {
  detail::check_same_device(op, x, src);
  detail::check_same_device(op, x, index);
  if (x.dtype() != src.dtype())
    throw DTypeError(std::string(op) + ": the tensor is " + std::string(name(x.dtype())) + ", what is put into it " +
                     std::string(name(src.dtype())));
  Scattering s{checked_dim(op, dim, x.rank()), at_least_1d(x), at_least_1d(index), at_least_1d(src)};
  check_sizes(op, s.x, s.index, s.dim);
  bool enough = s.src.rank() == s.index.rank();
  for (int i = 0; enough && i < s.index.rank(); ++i) enough = s.index.shape()[i] <= s.src.shape()[i];
  if (!enough)
    throw ShapeError(std::string(op) + ": " + to_string(src.shape()) + " has too few elements for an index of shape " +
                     to_string(index.shape()));
  s.index = detail::checked_index(op, s.index, 0, s.x.shape()[s.dim]);
  s.src = corner(s.src, s.index.shape());
  return s;
}

}  // namespace

Tensor gather(const Tensor& x, int dim, const Tensor& index) {
  detail::check_same_device("gather", x, index);
  dim = checked_dim("gather", dim, x.rank());
  Tensor from = at_least_1d(x), places = at_least_1d(index);
  check_sizes("gather", from, places, dim);
  places = detail::checked_index("gather", places, 0, from.shape()[dim]);
  return reshape(gather_at("gather", from, dim, places), index.shape());
}

Tensor take_along(const Tensor& x, const Tensor& index, int dim) {
  dim = checked_dim("take_along", dim, x.rank());
  if (x.rank() != index.rank())
    throw ShapeError("take_along: the index " + to_string(index.shape()) + " and the tensor " + to_string(x.shape()) + " differ in rank");
  Shape rest_x = x.shape(), rest_index = index.shape();
  if (x.rank() > 0) rest_x[dim] = rest_index[dim] = 1;
  Shape shape = broadcast_shapes("take_along", rest_x, rest_index), shape_x = shape;
  if (x.rank() > 0) {
    shape[dim] = index.shape()[dim];
    shape_x[dim] = x.shape()[dim];
  }
  return gather(expand(x, shape_x), dim, expand(index, shape));
}

Tensor take(const Tensor& x, const Tensor& index) {
  Tensor places = detail::checked_index("take", index, -x.numel(), x.numel());
  places = where(places < 0, places + x.numel(), places);
  return reshape(gather_at("take", reshape(x, {x.numel()}), 0, reshape(places, {places.numel()})), index.shape());
}

namespace {

// A vector of places along dim, seen from every element of `shape` with index.numel() along dim.
Tensor along(const char* op, const Tensor& x, int dim, const Tensor& index, Shape& shape) {
  detail::check_same_device(op, x, index);
  if (index.rank() > 1) throw ShapeError(std::string(op) + ": the index must be a vector, its shape is " + to_string(index.shape()));
  Tensor places = detail::checked_index(op, index, 0, x.shape()[dim]);
  Shape line = Shape::filled(x.rank(), 1);
  line[dim] = places.numel();
  shape = x.shape();
  shape[dim] = places.numel();
  return broadcast_view(op, reshape(places, line), shape);
}

}  // namespace

Tensor index_select(const Tensor& x, int dim, const Tensor& index) {
  dim = checked_dim("index_select", dim, x.rank());
  if (x.rank() == 0) return reshape(index_select(reshape(x, {1}), 0, index), {});
  Shape shape;
  Tensor places = along("index_select", x, dim, index, shape);
  return gather_at("index_select", x, dim, places);
}

static Tensor into_slices(const char* op, ScatterOp how, const Tensor& x, int dim, const Tensor& index, const Tensor& src) {
  dim = checked_dim(op, dim, x.rank());
  if (x.rank() == 0) throw ShapeError(std::string(op) + ": a tensor of rank 0 has no slices");
  detail::check_same_device(op, x, src);
  if (x.dtype() != src.dtype())
    throw DTypeError(std::string(op) + ": the tensor is " + std::string(name(x.dtype())) + ", what is put into it " +
                     std::string(name(src.dtype())));
  Shape shape;
  Tensor places = along(op, x, dim, index, shape);
  if (src.shape() != shape)
    throw ShapeError(std::string(op) + ": the slices must be " + to_string(shape) + ", they are " + to_string(src.shape()));
  return how == ScatterOp::add ? scatter_add_at(op, x, dim, places, src) : scatter_at(op, x, dim, places, src);
}
Tensor index_add(const Tensor& x, int dim, const Tensor& index, const Tensor& src) {
  return into_slices("index_add", ScatterOp::add, x, dim, index, src);
}
Tensor index_copy(const Tensor& x, int dim, const Tensor& index, const Tensor& src) {
  return into_slices("index_copy", ScatterOp::copy, x, dim, index, src);
}

Tensor scatter(const Tensor& x, int dim, const Tensor& index, const Tensor& src) {
  Scattering s = checked_scatter("scatter", x, dim, index, src);
  return reshape(scatter_at("scatter", s.x, s.dim, s.index, s.src), x.shape());
}
Tensor scatter(const Tensor& x, int dim, const Tensor& index, Scalar value) {
  return scatter(x, dim, index, expand(scalar_tensor(value, x.dtype(), x.device()), index.shape()));
}
Tensor scatter_add(const Tensor& x, int dim, const Tensor& index, const Tensor& src) {
  Scattering s = checked_scatter("scatter_add", x, dim, index, src);
  return reshape(scatter_add_at("scatter_add", s.x, s.dim, s.index, s.src), x.shape());
}

namespace {

// y = the largest (smallest) for each place; ties share:   dx = dy · [x = y] / ties,   dsrc = (dy / ties)[index] · [src = y[index]]
Tensor scatter_extremum(ScatterOp op, const Scattering& s, const Tensor& x) {
  Tensor y = scattered(op, "scatter_reduce", x, s.dim, s.index, s.src);
  return record(
      "scatter_reduce", y, {x, s.src}, saving(x, s.src, y, s.index),
      [dim = s.dim](const Grads& dy, const Saved& saved, Needs needs) -> Grads {
        Tensor index = saved[3], share, of_x, of_src;
        {
          NoGrad off;
          DType t = dy[0].dtype();
          of_x = to(saved[0] == saved[2], t);
          of_src = to(saved[1] == gathered("scatter_reduce", saved[2], dim, index), t);
          share = 1 / scattered(ScatterOp::add, "scatter_reduce", of_x, dim, index, of_src);
        }
        Tensor shared = dy[0] * share;
        return {needs[0] ? shared * of_x : Tensor(), needs[1] ? gather_at("scatter_reduce", shared, dim, index) * of_src : Tensor()};
      });
}

// Π of the elements for each place, 1 where there are none: elements are ordered by place, and the running product h_t = v_t h_{t−1},
// started anew with each place, is read at the last element of each. Differentiable to any order, zeros included.
Tensor scatter_product(const Scattering& s) {
  auto [places, order] = sort(s.index, s.dim);
  Tensor v = gather_at("scatter_reduce", s.src, s.dim, order), ones = ones_like(s.x);
  if (places.shape()[s.dim] == 0) return ones;
  Tensor starts = ones_like(places);
  if (int64_t n = places.shape()[s.dim]; n > 1) {
    Tensor hole = slice(starts, s.dim, 1);
    copy_(hole, to(slice(places, s.dim, 1) != slice(places, s.dim, 0, n - 1), i64));
  }
  Tensor first = starts == 1;
  return scatter_at("scatter_reduce", ones, s.dim, places, linear_scan(where(first, 0, v), where(first, v, 0), s.dim));
}

// What does not change the others.
Scalar neutral(ScatterReduce how, DType t) {
  if (how == ScatterReduce::prod) return 1;
  if (how != ScatterReduce::amax && how != ScatterReduce::amin) return 0;
  bool largest = how == ScatterReduce::amax;
  if (is_floating(t)) return largest ? -std::numeric_limits<double>::infinity() : std::numeric_limits<double>::infinity();
  if (t == u8) return largest ? 0 : 255;
  if (t == i32) return largest ? INT32_MIN : INT32_MAX;
  return largest ? INT64_MIN : INT64_MAX;
}

}  // namespace

Tensor scatter_reduce(const Tensor& x, int dim, const Tensor& index, const Tensor& src, ScatterReduce how, bool include_self) {
  Scattering s = checked_scatter("scatter_reduce", x, dim, index, src);
  if ((how == ScatterReduce::mean || how == ScatterReduce::prod) && !is_floating(x.dtype()))
    throw DTypeError("scatter_reduce: mean and prod take floating types, not " + std::string(name(x.dtype())));
  if (x.dtype() == boolean) throw DTypeError("scatter_reduce: does not take bool");
  auto counted = [&] {
    return scattered(ScatterOp::add, "scatter_reduce", zeros(s.x.shape(), i64, x.device()), s.dim, s.index, ones_like(s.index));
  };
  Tensor base = s.x;
  if (!include_self) {
    base = where(counted() > 0, neutral(how, x.dtype()), base);
  }
  Tensor y;
  switch (how) {
    case ScatterReduce::sum: y = scatter_add_at("scatter_reduce", base, s.dim, s.index, s.src); break;
    case ScatterReduce::mean:
      y = scatter_add_at("scatter_reduce", base, s.dim, s.index, s.src) / to(clamp_min(counted() + (include_self ? 1 : 0), 1), x.dtype());
      break;
    case ScatterReduce::prod: y = base * scatter_product(s); break;
    case ScatterReduce::amax: y = scatter_extremum(ScatterOp::maximum, s, base); break;
    case ScatterReduce::amin: y = scatter_extremum(ScatterOp::minimum, s, base); break;
  }
  return reshape(y, x.shape());
}

}  // namespace plumb
