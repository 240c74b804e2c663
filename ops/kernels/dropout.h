// Kernel slot of dropout.
#pragma once
#include "engine/core/kernel.h"
#include "engine/core/tensor.h"

namespace plumb {

/// Which elements are dropped: element i belongs to draw k = i / share, word k % 4 of philox(seed, counter + k / 4), dropped with
/// probability p.
struct DropoutDraw {
  double p;
  uint64_t seed, counter;
  int64_t share;
};
/// What becomes of an element: x · scale + shift if kept, `dropped` if not.
struct DropoutValues {
  double scale, shift, dropped;
};

namespace kernel {

/// x and y row-major.
inline constinit Kernel<void(const Tensor& x, DropoutDraw draw, DropoutValues values, Tensor& y)> dropout{"dropout"};

}  // namespace kernel
}  // namespace plumb
