// What the copy engine knows of a tensor: sizes, strides, and the box that one copy brings. Made on the host, given to kernels by value.
#pragma once
#include <cuda.h>

#include <cstdint>
#include <vector>

#include "engine/core/dtype.h"

namespace plumb::cuda_backend {

/// A dimension of a tensor of 16-bit elements: its size, the elements from one place to the next (the innermost: 1), and those of a box.
struct MappedDim {
  int64_t size, stride;
  int box;
};
/// The dimensions innermost first, two or three; a box of 128 bytes along the innermost, swizzled as matrix products read it. The address
/// and the strides are multiples of 16 bytes. Throws DeviceError where the driver does not take it.
CUtensorMap tensor_map(const void* data, DType type, const std::vector<MappedDim>& dims);

/// Whether this can be mapped: 16 bytes, and strides in multiples of it.
bool can_be_mapped(const void* data, const std::vector<MappedDim>& dims);

}  // namespace plumb::cuda_backend
