// What a kernel moves and computes, as far as the shapes of its tensors tell.
#pragma once
#include <optional>
#include <span>
#include <string_view>

#include "engine/core/tensor.h"

namespace plumb::tools {

struct SeenTensor {
  Shape shape;
  DType dtype = f32;
  int64_t bytes = 0;  ///< of its elements, those that are repeated by a stride of 0 once
};
/// x as it is now; `x` must be defined.
SeenTensor seen(const Tensor& x);
/// "f32 [2, 3]"
std::string to_string(const SeenTensor& x);

struct KernelCost {
  double bytes = 0;             ///< each tensor among the arguments read or written once: what must move at least
  std::optional<double> flops;  ///< nothing for kernels whose work their shapes do not tell
};

/// The cost of `kernel` (a name in ops/kernels/) on these tensors, in the order of its arguments, without those that are undefined.
/// An addition, a product and a function such as exp count as one operation each. Matrix products, convolutions and attention count their
/// 2 m n k alone, as is usual; attention is counted as if every query saw every key, with a mask or without.
KernelCost kernel_cost(std::string_view kernel, std::span<const SeenTensor> tensors);

}  // namespace plumb::tools
