// Timing single kernels: each with its share of what the device was measured to do at most.
#pragma once
#include <string>
#include <vector>

#include "engine/core/device.h"

namespace plumb::tools {

struct KernelTiming {
  std::string kernel, dtype, shape;
  double seconds = 0;          ///< median
  double bytes = 0, flops = 0; ///< that it must move and do at least; one of them is 0
  double ceiling = 0;          ///< bytes or floating-point operations a second: the fastest copy, or the fastest product of that type
  double per_second() const { return (bytes > 0 ? bytes : flops) / seconds; }
  double share() const { return ceiling > 0 ? per_second() / ceiling : 0; }
};

/// The rows there are: "copy", "matmul", "layer_norm", …
std::vector<std::string> kernel_rows();
/// Times the rows called `only` (all if empty) on the device; `seconds` is spent on each. Sizes are a GPU's, or a CPU's. Throws ConfigError
/// for an unknown name.
std::vector<KernelTiming> time_kernels(const std::vector<std::string>& only, Device device, double seconds);

}  // namespace plumb::tools
