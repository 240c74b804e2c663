// The kernel slot that looks at what losses are given: probabilities, variances, signs.
#pragma once
#include "engine/core/device_function.h"
#include "engine/core/kernel.h"
#include "engine/core/tensor.h"

namespace plumb {

/// What numbers may be: in [0, 1]; 0 or more; 1 or −1. NaN is neither in range nor out of it, but no sign.
enum class Allowed : uint8_t { unit_interval, not_negative, sign };

template <typename T>
PLUMB_DEVICE bool refused(T value, Allowed allowed) {
  if (allowed == Allowed::sign) return !(value == T(1) || value == T(-1));
  return value < T(0) || (allowed == Allowed::unit_interval && value > T(1));
}
/// How an error goes on after the number: "is outside [0, 1]".
constexpr const char* complaint(Allowed allowed) {
  return allowed == Allowed::unit_interval ? "is outside [0, 1]" : allowed == Allowed::not_negative ? "is negative" : "is neither 1 nor -1";
}

namespace kernel {

/// Whether an element of x (f64 or f32, row-major) is refused, and the first such one. A GPU does not make the host wait for the answer: it
/// says no, and a ValueError that begins with `op` and `what`, both literals, is thrown where the host next waits.
inline constinit Kernel<void(const char* op, const char* what, const Tensor& x, Allowed allowed, bool& found, double& value)> check_values{
    "check_values"};

}  // namespace kernel
}  // namespace plumb
