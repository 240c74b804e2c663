// Fake quantisation of one number, for every device.
#pragma once
#include <cmath>

#include "ops/special_functions.h"

namespace plumb::quantization {

/// q within [low, high]; NaN stays NaN.
template <typename C>
PLUMB_DEVICE C clamped(C q, C low, C high) { return q < low ? low : q > high ? high : q; }

/// (clamp(round(x / scale + zero)) − zero) scale.
template <typename C>
PLUMB_DEVICE C fake(C x, C scale, C zero, C low, C high) { return (clamped(std::nearbyint(x / scale + zero), low, high) - zero) * scale; }
/// Whether x was not clamped, so that its gradient passes.
template <typename C>
PLUMB_DEVICE bool passes(C x, C scale, C zero, C low, C high) {
  C q = std::nearbyint(x / scale + zero);
  return q >= low && q <= high;
}

/// round(clamp(x / step)) step.
template <typename C>
PLUMB_DEVICE C learned(C x, C step, C low, C high) { return std::nearbyint(clamped(x / step, low, high)) * step; }
/// Its derivative in step; `inside` ← whether x was not clamped.
template <typename C>
PLUMB_DEVICE C step_slope(C x, C step, C low, C high, bool& inside) {
  C ratio = x / step;
  inside = ratio > low && ratio < high;
  return std::nearbyint(clamped(ratio, low, high)) - (inside ? ratio : C(0));
}

}  // namespace plumb::quantization
