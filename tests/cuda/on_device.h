// Tensors between the CPU and the device that the tests of cuda/ run on.
#pragma once
#include <cstring>

#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::testing {

inline constexpr Device kGpu{DeviceType::cuda, 0};

/// A row-major copy on the device (CPU) outside the graph.
inline Tensor on(const Tensor& x, Device device) {
  Tensor y = empty(x.shape(), x.dtype(), device);
  copy_data(x, y);
  return y;
}
inline Tensor to_gpu(const Tensor& x) { return on(x, kGpu); }
inline Tensor to_cpu(const Tensor& x) { return on(x, cpu); }

/// Numbers in [−8, 8) that every floating type holds exactly and that differ from their neighbours; integers from them; bools.
inline Tensor some_numbers(const Shape& shape, DType t, uint64_t seed = 1) {
  Generator generator(seed);
  std::vector<double> values(static_cast<size_t>(numel(shape)));
  for (double& v : values) v = static_cast<double>(generator.next_below(256)) / 16 - 8;
  Tensor x = empty(shape, t);
  copy_data(from_vector(values, shape), x);
  return x;
}

/// The same shape, type and bits.
inline bool same(const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape() || a.dtype() != b.dtype()) return false;
  Tensor x = contiguous_data(a), y = contiguous_data(b);
  return x.numel() == 0 || std::memcmp(x.raw_data(), y.raw_data(), static_cast<size_t>(x.numel()) * item_size(x.dtype())) == 0;
}

}  // namespace plumb::testing
