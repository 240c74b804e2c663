// The order of images in memory. Tensor cores read images with channels last, so on a GPU convolutions leave their results in that order
// and what is computed from them keeps it. Strides alone say so: shapes and values are the same in either order. On the CPU results are
// row-major.
#pragma once
#include "engine/core/tensor.h"

namespace plumb {

/// The strides of [n, C, ..] stored as [n, .., C] without gaps; rank 3 or more.
Strides channels_last_strides(const Shape& shape);

namespace detail {
bool strides_are_channels_last(const Shape& shape, const Strides& strides);
}

/// Whether x [n, C, ..], rank 3 or more, lies on a GPU with the channels of a place side by side: all of such a tensor, or a part of it
/// (there may be gaps). What is row-major as well, as images of one channel or one place are, counts as row-major.
inline bool channels_last(const Tensor& x) {
  return !x.is_contiguous() && x.device().type == DeviceType::cuda && detail::strides_are_channels_last(x.shape(), x.strides());
}

/// empty() in this order, which leaves tensors below rank 3 row-major.
Tensor empty_in_order(const Shape& shape, DType dtype, Device device, const char* op, bool channels_last);

/// empty() in the order of the operands of this shape: channels last if one of them lies so, else row-major.
template <typename... Operands>
Tensor empty_for(const Shape& shape, DType dtype, Device device, const char* op, const Operands&... operands) {
  bool last = ((channels_last(operands) && operands.shape() == shape) || ...);
  return last ? empty_in_order(shape, dtype, device, op, true) : empty(shape, dtype, device, op);
}

/// Whether x has no gaps in this order; dimensions of size 1 do not matter.
bool is_dense(const Tensor& x, bool channels_last);
/// x itself if it has no gaps in this order, else a copy, outside the graph.
Tensor dense_data(const Tensor& x, bool channels_last);

}  // namespace plumb
