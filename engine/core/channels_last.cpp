// Strides of images with channels last, and copies into that order.
#include "engine/core/channels_last.h"

#include "engine/core/data_kernels.h"

namespace plumb {

Strides channels_last_strides(const Shape& shape) {
  Strides strides = Strides::filled(shape.rank(), 1);
  int64_t step = shape[1];
  for (int d = shape.rank() - 1; d >= 2; --d) {
    strides[d] = step;
    step *= shape[d];
  }
  strides[0] = step;
  return strides;
}

// From the innermost dimension to the outermost, each begins where the one before ends, or further.
bool detail::strides_are_channels_last(const Shape& shape, const Strides& strides) {
  if (shape.rank() < 3 || shape[1] < 2 || strides[1] != 1) return false;
  int64_t least = shape[1];
  auto continues = [&](int d) {
    if (shape[d] == 1) return true;
    if (strides[d] < least) return false;
    least = strides[d] * shape[d];
    return true;
  };
  for (int d = shape.rank() - 1; d >= 2; --d)
    if (!continues(d)) return false;
  return continues(0);
}

Tensor empty_in_order(const Shape& shape, DType dtype, Device device, const char* op, bool channels_last) {
  Tensor memory = empty(shape, dtype, device, op);
  return channels_last && shape.rank() >= 3 ? alias(view_of(memory, shape, channels_last_strides(shape), 0)) : memory;
}

bool is_dense(const Tensor& x, bool channels_last) {
  if (!channels_last) return x.is_contiguous();
  Strides wanted = channels_last_strides(x.shape());
  for (int d = 0; d < x.rank(); ++d)
    if (x.shape()[d] != 1 && x.strides()[d] != wanted[d]) return false;
  return true;
}

Tensor dense_data(const Tensor& x, bool channels_last) {
  if (is_dense(x, channels_last)) return x;
  Tensor y = empty_in_order(x.shape(), x.dtype(), x.device(), "copy", channels_last);
  kernel::copy(x.device(), x, y);
  return y;
}

}  // namespace plumb
