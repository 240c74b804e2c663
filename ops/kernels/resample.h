// Kernel slots of operations that read windows of an image's rows and columns: resampling (interpolation, average pooling), maxima, and
// laying windows out as columns. Where a GPU has images with channels last, resampling and maxima take [n, rows, columns, channels] in
// place of [planes, rows, columns]: all tensors of a call.
#pragma once
#include <memory>
#include <vector>

#include "engine/core/kernel.h"
#include "engine/core/tensor.h"
#include "ops/kernels/conv.h"

namespace plumb {

/// What an AxisMap says, on the host.
struct AxisEntries {
  std::vector<int64_t> offset{0}, index;
  std::vector<double> weight;
  friend bool operator==(const AxisEntries&, const AxisEntries&) = default;
};

/// Which places of one dimension each output place reads, and how much of them: output i reads index[k] times weight[k] for
/// offset[i] ≤ k < offset[i + 1]. A sparse matrix [outputs, inputs] by rows.
struct AxisMap {
  Tensor offset;  ///< i64 [outputs + 1]
  Tensor index;   ///< i64
  Tensor weight;  ///< f64, as many as index
  int64_t inputs = 0, outputs = 0;
  std::shared_ptr<const AxisEntries> entries;  ///< the three lists, wherever the tensors are
};

namespace kernel {

/// y [planes, rows.outputs, columns.outputs] = R x Cᵀ for each plane of x [planes, rows.inputs, columns.inputs], with R, C the matrices of
/// rows and columns. Both row-major. Sums run in the order of the map, in f32 for 16-bit types.
inline constinit Kernel<void(const Tensor& x, const AxisMap& rows, const AxisMap& columns, Tensor& y)> resample{"resample"};

/// The largest of the places that each output reads (weights are not looked at; every output reads at least one), and where in the plane it
/// is (i64, row · width + column): the first such place, or the first NaN. x, y and place are row-major.
inline constinit Kernel<void(const Tensor& x, const AxisMap& rows, const AxisMap& columns, Tensor& y, Tensor& place)> window_max{
    "window_max"};

/// The adjoint of window_max: dx[row, column] = Σ dy of the windows whose place that is, in order and in f32 for 16-bit types.
/// `rows` and `columns` say which windows read each row and column of dx: the transposed maps.
inline constinit Kernel<void(const Tensor& dy, const Tensor& place, const AxisMap& rows, const AxisMap& columns, Tensor& dx)>
    window_max_backward{"window_max_backward"};

/// y [planes, kh, kw, oh, ow] of x [planes, H, W]: y[n, p, q, i, j] = x[n, i · stride − padding + p · dilation, j · …], 0 outside (the
/// groups of g are not looked at). Both row-major.
inline constinit Kernel<void(const Tensor& x, const ConvGeometry& g, Tensor& y)> unfold{"unfold"};
/// The adjoint: x = Σ over all that y took from it, in the order of the kernel's entries.
inline constinit Kernel<void(const Tensor& y, const ConvGeometry& g, Tensor& x)> fold{"fold"};

}  // namespace kernel
}  // namespace plumb
