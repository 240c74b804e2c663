// Reading at places: a result is a weighted sum over the places around it. Weights are differentiable operations on the grid, values are
// gathered, so derivatives of every order follow. Bytes: every tap (4 of an image, 8 of a volume, 16 bicubic) reads and writes a result's
// worth of elements.
#include "ops/grid_sample.h"

#include <algorithm>
#include <string>
#include <vector>

#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/pointwise_call.h"
#include "ops/shape.h"

namespace plumb {
namespace {

// Along one dimension: a place (integer, i64) and its weight, [N, P] each.
struct Tap {
  Tensor place, weight;
};

Tensor unnormalised(const Tensor& g, double size, bool align_corners) {
  return align_corners ? (g + 1) * ((size - 1) / 2) : ((g + 1) * size - 1) * 0.5;
}

// u folded back into [low, high] at both ends, again and again.
Tensor reflected(const Tensor& u, double low, double high) {
  if (high <= low) return zeros_like(u);
  double span = high - low;
  Tensor distance = abs(u - low), turns = floor(distance.detach() / span), rest = distance - turns * span;
  Tensor odd = remainder(turns, full(Shape{}, 2.0, u.dtype(), u.device())) == 1;
  return where(odd, high - rest, rest + low);
}

Tensor padded(const Tensor& u, double size, const GridSampleOptions& o) {
  if (o.padding == GridPadding::zeros) return u;
  Tensor inside = o.padding == GridPadding::border ? u : o.align_corners ? reflected(u, 0, size - 1) : reflected(u, -0.5, size - 0.5);
  return clamp(inside, 0, size - 1);
}

// A tap at the whole number `at` (floating): weightless outside the image.
Tap tap(const Tensor& at, const Tensor& weight, double size) {
  Tensor inside = logical_and(at >= 0, at <= size - 1);
  return {to(clamp(at, 0, size - 1), i64), where(inside, weight, 0)};
}

// Keys' cubic with a = −0.75 for taps at −1, 0, 1, 2 from the floor, t beyond it.
std::vector<Tensor> cubic_weights(const Tensor& t) {
  constexpr double a = -0.75;
  auto near = [](const Tensor& d) { return ((a + 2) * d - (a + 3)) * d * d + 1; };
  auto far = [](const Tensor& d) { return ((d * a - 5 * a) * d + 8 * a) * d - 4 * a; };
  return {far(t + 1), near(t), near(1 - t), far(2 - t)};
}

// The taps along one dimension of `size` for coordinates g [N, P].
std::vector<Tap> taps(const Tensor& g, int64_t length, const GridSampleOptions& o) {
  double size = static_cast<double>(length);
  Tensor known = clamp(where(isnan(g), -1e4, g), -1e4, 1e4), u = unnormalised(known, size, o.align_corners);
  if (o.mode == Interpolation::nearest) {
    Tensor at = round(padded(u.detach(), size, o));
    return {tap(at, ones_like(at), size)};
  }
  if (o.mode == Interpolation::linear) {
    Tensor v = padded(u, size, o), at = floor(v.detach()), t = v - at;
    return {tap(at, 1 - t, size), tap(at + 1, t, size)};
  }
  Tensor at = floor(u.detach());
  std::vector<Tensor> weights = cubic_weights(u - at);
  std::vector<Tap> all;
  for (int k = 0; k < 4; ++k)
    all.push_back(tap(padded(at + (k - 1), size, o), weights[static_cast<size_t>(k)], size));  // each tap for itself
  return all;
}

void check(const Tensor& x, const Tensor& grid, const GridSampleOptions& o) {
  for (const Tensor& t : {x, grid})
    if (!is_floating(t.dtype())) unsupported_dtype("grid_sample", t.dtype());
  detail::check_same_device("grid_sample", x, grid);
  int dims = x.rank() - 2;
  if ((dims != 2 && dims != 3) || grid.rank() != x.rank() || grid.size(0) != x.size(0) || grid.size(-1) != dims)
    throw ShapeError("grid_sample: takes x [N, C, H, W] with grid [N, H', W', 2], or x [N, C, D, H, W] with grid [N, D', H', W', 3], not " +
                     to_string(x.shape()) + " and " + to_string(grid.shape()));
  for (int d = 2; d < x.rank(); ++d)
    if (x.shape()[d] == 0) throw ShapeError("grid_sample: x " + to_string(x.shape()) + " has no places to read");
  if (o.mode == Interpolation::area) throw ValueError("grid_sample: the mode is linear, nearest or bicubic, not area");
  if (o.mode == Interpolation::bicubic && dims == 3) throw ValueError("grid_sample: volumes are read linear or nearest, not bicubic");
}

}  // namespace

Tensor grid_sample(const Tensor& x, const Tensor& grid, const GridSampleOptions& options) {
  check(x, grid, options);
  int dims = x.rank() - 2;
  int64_t batch = x.size(0), channels = x.size(1), places = numel(x.shape().slice(2, x.rank())),
          points = numel(grid.shape().slice(1, grid.rank() - 1));
  DType type = promote(compute_dtype(x.dtype()), compute_dtype(grid.dtype()));
  Tensor values = reshape(x, {batch, channels, places}), coordinates = to(reshape(grid, {batch, points, dims}), type);
  std::vector<Tap> joined;  // over the dimensions so far, from the outermost
  for (int d = 0; d < dims; ++d) {
    int64_t length = x.shape()[2 + d];
    std::vector<Tap> along = taps(select(coordinates, 2, dims - 1 - d), length, options), next;  // grids count from the last dimension
    for (const Tap& t : along) {
      if (d == 0) next.push_back(t);
      for (const Tap& outer : joined) next.push_back({outer.place * length + t.place, outer.weight * t.weight});
    }
    joined = std::move(next);
  }
  Tensor y;
  for (const Tap& t : joined) {
    Tensor read = gather(values, 2, expand(unsqueeze(t.place, 1), {batch, channels, points})) * unsqueeze(t.weight, 1);
    y = y.defined() ? y + read : read;
  }
  Shape shape{batch, channels};
  for (int d = 1; d + 1 < grid.rank(); ++d) shape.push_back(grid.shape()[d]);
  return reshape(to(y, x.dtype()), shape);
}

Tensor affine_grid(const Tensor& theta, const Shape& size, bool align_corners) {
  int dims = size.rank();
  if ((dims != 2 && dims != 3) || theta.rank() != 3 || theta.size(1) != dims || theta.size(2) != dims + 1)
    throw ShapeError("affine_grid: takes theta [N, 2, 3] with a size [H, W], or [N, 3, 4] with [D, H, W], not " + to_string(theta.shape()) +
                     " and " + to_string(size));
  if (!is_floating(theta.dtype())) unsupported_dtype("affine_grid", theta.dtype());
  std::vector<Tensor> axes;
  for (int64_t n : size) {
    double end = align_corners ? 1 : 1 - 1 / static_cast<double>(std::max<int64_t>(n, 1));
    axes.push_back(n == 1 ? zeros({1}, theta.dtype(), theta.device()) : linspace(-end, end, n, theta.dtype(), theta.device()));
  }
  std::vector<Tensor> coordinates = meshgrid(axes);  // from the outermost dimension; a point lists the innermost first
  std::vector<Tensor> point(coordinates.rbegin(), coordinates.rend());
  point.push_back(ones(size, theta.dtype(), theta.device()));
  Tensor points = reshape(stack(point, -1), {numel(size), dims + 1});
  Shape shape{theta.size(0)};
  for (int64_t n : size) shape.push_back(n);
  shape.push_back(dims);
  return reshape(matmul(unsqueeze(points, 0), mT(theta)), shape);
}

}  // namespace plumb
