// RoIAlign (He et al., ICCV 2017): what feature maps say inside each box, on a grid of fixed size.
#pragma once
#include <vector>

#include "engine/core/tensor.h"

namespace plumb::detection {

struct RoiAlignOptions {
  int64_t size = 7;      ///< bins a side
  int64_t sampling = 2;  ///< samples a side in each bin, of which the mean is taken
  double cells = 14;     ///< boxes of less than 2 · cells · strides[0] pixels read the first level, each doubling of it one level further
};

/// levels [B, C, H, W], of an image `strides` times as large; boxes [B, P, 4] as corners in its pixels → [B · P, size², C], bins row by
/// row. Each box reads one level, the one numbered ⌊log₂(√area / (cells · strides[0]))⌋ kept within those there are: with 14 cells and
/// strides from 4 to 32 the rule of Lin et al. (CVPR 2017). A sample is interpolated bilinearly at pixel / stride − ½, kept within the
/// border, and is 0 more than one place outside it (the "aligned" form). Differentiable in the levels alone: boxes count as constants, and
/// may be turned inside out. Throws ShapeError for sizes that do not fit, ValueError for boxes that are not finite or options below 1.
Tensor roi_align(const std::vector<Tensor>& levels, const std::vector<double>& strides, const Tensor& boxes,
                 const RoiAlignOptions& options = {});

}  // namespace plumb::detection
