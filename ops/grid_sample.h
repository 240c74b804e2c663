// Images and volumes read at places that a tensor says.
#pragma once
#include "engine/core/tensor.h"
#include "ops/vision.h"

namespace plumb {

/// What stands outside the image: zeros, the border's values, or the image mirrored at its border.
enum class GridPadding : uint8_t { zeros, border, reflection };

struct GridSampleOptions {
  Interpolation mode = Interpolation::linear;  ///< linear, nearest (halves to even), or bicubic (images only)
  GridPadding padding = GridPadding::zeros;
  bool align_corners = false;  ///< −1 and 1 are the centres of the corner places instead of the outer edges
};

/// y[n, :, i, j] = x[n] at (column, row) = grid[n, i, j], in coordinates from −1 to 1: x [N, C, H, W], grid [N, H', W', 2]
/// → [N, C, H', W']; for volumes x [N, C, D, H, W] and grid [N, D', H', W', 3] of (column, row, depth). Differentiable in both, to any
/// order (nearest: in x). Coordinates are computed in f32 at least; NaN counts as outside. Throws ShapeError if the shapes do not fit or x
/// has no places, ValueError for area, or bicubic for volumes; DTypeError unless both are floating.
Tensor grid_sample(const Tensor& x, const Tensor& grid, const GridSampleOptions& options = {});

/// The grid of an affine map: for every place of the result, theta [N, 2, 3] (or [N, 3, 4]) times (column, row[, depth], 1). `size` is that
/// of the result, [H', W'] or [D', H', W'] → [N, H', W', 2] or [N, D', H', W', 3]. Throws ShapeError if they do not fit.
Tensor affine_grid(const Tensor& theta, const Shape& size, bool align_corners = false);

}  // namespace plumb
