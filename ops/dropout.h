// Dropout.
#pragma once
#include "engine/core/tensor.h"

namespace plumb {

/// Each element of x is 0 with probability p, else x / (1 − p) (Srivastava et al. 2014). Draws from default_generator(); element i is lane
/// i of the stream, so the mask does not depend on threads or device, and backward draws it again instead of keeping it.
/// Throws ValueError unless p lies in [0, 1).
Tensor dropout(const Tensor& x, double p);

}  // namespace plumb
