// Sequences, masks and diagonals. Masks are comparisons of row and column numbers, so no kernel is needed.
#include "ops/create.h"

#include <cmath>

#include "engine/autograd/record.h"
#include "engine/core/data_kernels.h"
#include "ops/kernels/create.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb {

static bool floating(Scalar start, Scalar end, Scalar step) { return start.floating() || end.floating() || step.floating(); }

// ⌈(end − start) / step⌉
static int64_t steps_between(Scalar start, Scalar end, Scalar step) {
  double way = end.value() - start.value(), pace = step.value();
  if (pace == 0 || way * pace < 0 || !std::isfinite(way / pace))
    throw ValueError("arange: steps of " + decimal(pace) + " do not lead from " + decimal(start.value()) + " to " +
                     decimal(end.value()));
  if (floating(start, end, step)) return static_cast<int64_t>(std::ceil(way / pace));
  int64_t whole = end.integer() - start.integer();
  return whole / step.integer() + (whole % step.integer() != 0);
}

Tensor arange(Scalar start, Scalar end, Scalar step, DType dtype, Device device) {
  Tensor y = empty({steps_between(start, end, step)}, dtype, device, "arange");
  kernel::arange(device, start, step, y);
  return y;
}
Tensor arange(Scalar start, Scalar end, Scalar step) { return arange(start, end, step, floating(start, end, step) ? f32 : i64); }
Tensor arange(Scalar end, DType dtype, Device device) { return arange(0, end, 1, dtype, device); }
Tensor arange(Scalar end) { return arange(0, end, 1); }

Tensor linspace(double start, double end, int64_t count, DType dtype, Device device) {
  if (count < 0) throw ValueError("linspace: the count is negative: " + std::to_string(count));
  Tensor y = empty({count}, dtype, device, "linspace");
  kernel::arange(device, start, count > 1 ? (end - start) / static_cast<double>(count - 1) : 0.0, y);
  if (count > 1) {
    Tensor last = slice(y, 0, count - 1);
    fill_(last, end);
  }
  return y;
}

Tensor eye(int64_t rows, int64_t columns, DType dtype, Device device) {
  if (rows < 0) throw ShapeError("eye: the size must not be negative, it is " + std::to_string(rows));
  Tensor y = zeros({rows, columns < 0 ? rows : columns}, dtype, device), main = diagonal(y);
  fill_(main, 1);
  return y;
}

std::vector<Tensor> meshgrid(const std::vector<Tensor>& axes, std::string_view indexing) {
  if (indexing != "ij" && indexing != "xy")
    throw ValueError("meshgrid: the indexing is \"ij\" or \"xy\", not \"" + std::string(indexing) + "\"");
  Shape shape;
  for (const Tensor& axis : axes) {
    if (axis.rank() > 1) throw ShapeError("meshgrid: takes vectors, got " + to_string(axis.shape()));
    shape.push_back(axis.numel());
  }
  std::vector<Tensor> grids;
  for (int i = 0; i < shape.rank(); ++i) {
    Shape line = Shape::filled(shape.rank(), 1);
    line[i] = shape[i];
    Tensor grid = expand(reshape(axes[static_cast<size_t>(i)], line), shape);
    grids.push_back(indexing == "xy" && shape.rank() >= 2 ? transpose(grid, 0, 1) : grid);
  }
  return grids;
}

// column − row as [rows, columns], compared with the diagonal.
static Tensor below(int64_t rows, int64_t columns, int64_t diagonal, Device device) {
  Tensor row = reshape(arange(diagonal, diagonal + rows, 1, i64, device), {rows, 1}), column = arange(columns, i64, device);
  return column <= row;
}
Tensor tril_mask(int64_t rows, int64_t columns, int64_t diagonal, Device device) { return below(rows, columns, diagonal, device); }
Tensor triu_mask(int64_t rows, int64_t columns, int64_t diagonal, Device device) {
  return logical_not(below(rows, columns, diagonal - 1, device));
}

static void check_matrix(const char* op, const Tensor& x) {
  if (x.rank() < 2) throw ShapeError(std::string(op) + ": needs two dimensions, the shape is " + to_string(x.shape()));
}
Tensor tril(const Tensor& x, int64_t diagonal) {
  check_matrix("tril", x);
  return where(tril_mask(x.size(-2), x.size(-1), diagonal, x.device()), x, false);  // a zero of any type
}
Tensor triu(const Tensor& x, int64_t diagonal) {
  check_matrix("triu", x);
  return where(triu_mask(x.size(-2), x.size(-1), diagonal, x.device()), x, false);  // a zero of any type
}

Tensor diag(const Tensor& x, int offset) {
  if (x.rank() == 1) return diag_embed(x, offset);
  if (x.rank() != 2) throw ShapeError("diag: takes a vector or a matrix, got " + to_string(x.shape()));
  return diagonal(x, offset);
}

// y = 0 but on the diagonal,   dx = the diagonal of dy
Tensor diag_embed(const Tensor& x, int offset, int dim0, int dim1) {
  if (x.rank() == 0) throw ShapeError("diag_embed: takes a vector at least, got " + to_string(x.shape()));
  int rank = x.rank() + 1;
  dim0 = checked_dim("diag_embed", dim0, rank);
  dim1 = checked_dim("diag_embed", dim1, rank);
  if (dim0 == dim1) throw IndexError("diag_embed: the two dimensions are the same, " + std::to_string(dim0));
  int64_t side = x.size(-1) + std::abs(offset);
  Shape shape = x.shape().slice(0, x.rank() - 1);
  shape.insert(std::min(dim0, dim1), side);
  shape.insert(std::max(dim0, dim1), side);
  Tensor y = zeros(shape, x.dtype(), x.device());
  {
    NoGrad off;
    Tensor line = diagonal(y, offset, dim0, dim1);
    kernel::copy(x.device(), x, line);
  }
  return record("diag_embed", y, {x}, saving(),
                [=](const Grads& dy, const Saved&, Needs) -> Grads { return diagonal(dy[0], offset, dim0, dim1); });
}

}  // namespace plumb
