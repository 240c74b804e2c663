// Pooling: the largest or the mean of windows of images [batch, channels, height, width] or sequences [batch, channels, length] (the batch
// dimension may be missing). Results are row-major. Throws ShapeError if no window fits, ValueError for options out of range.
#pragma once
#include "engine/core/tensor.h"
#include "ops/reduce.h"
#include "ops/size2.h"

namespace plumb {

struct MaxPool2dOptions {
  Size2 stride = 0;       ///< 0: the window's size
  Size2 padding = 0;      ///< counts as −∞; at most half the window
  Size2 dilation = 1;
  bool ceil_mode = false; ///< also windows that stick out at the end, if they begin inside the input or its first padding
};
struct MaxPool1dOptions {
  int64_t stride = 0, padding = 0, dilation = 1;
  bool ceil_mode = false;
};
struct AvgPool2dOptions {
  Size2 stride = 0;
  Size2 padding = 0;
  bool ceil_mode = false;
  bool count_include_pad = true;  ///< divide by the window's size, padding included; else by the number of input elements in it
};
struct AvgPool1dOptions {
  int64_t stride = 0, padding = 0;
  bool ceil_mode = false, count_include_pad = true;
};

/// The largest of each window; a NaN counts as it, and the first of several gets the gradient.
Tensor max_pool2d(const Tensor& x, Size2 window, const MaxPool2dOptions& options = {});
Tensor max_pool1d(const Tensor& x, int64_t window, const MaxPool1dOptions& options = {});
/// With the place of each in its plane, row · width + column (i64).
ValuesAndIndices max_pool2d_with_indices(const Tensor& x, Size2 window, const MaxPool2dOptions& options = {});
ValuesAndIndices max_pool1d_with_indices(const Tensor& x, int64_t window, const MaxPool1dOptions& options = {});

/// The mean of each window, padding counting as zero.
Tensor avg_pool2d(const Tensor& x, Size2 window, const AvgPool2dOptions& options = {});
Tensor avg_pool1d(const Tensor& x, int64_t window, const AvgPool1dOptions& options = {});

/// Windows that divide the input into `size` parts, as even as they can be: part i of n is [⌊i L / n⌋, ⌈(i + 1) L / n⌉).
Tensor adaptive_avg_pool2d(const Tensor& x, Size2 size);
Tensor adaptive_avg_pool1d(const Tensor& x, int64_t size);
Tensor adaptive_max_pool2d(const Tensor& x, Size2 size);
Tensor adaptive_max_pool1d(const Tensor& x, int64_t size);
ValuesAndIndices adaptive_max_pool2d_with_indices(const Tensor& x, Size2 size);
ValuesAndIndices adaptive_max_pool1d_with_indices(const Tensor& x, int64_t size);

/// The mean (largest) over all dimensions after the second: [N, C, ..] → [N, C]. Equal largest elements share the gradient.
Tensor global_avg_pool(const Tensor& x);
Tensor global_max_pool(const Tensor& x);

}  // namespace plumb
