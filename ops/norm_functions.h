// Scalar functions of normalisation, for every device.
#pragma once
#include "engine/core/device_function.h"
#include "engine/core/dtype.h"

namespace plumb::function {

/// running + momentum (batch · correction − running), each step rounded to T, as plain operations on tensors of T would.
template <typename T, typename B>
PLUMB_DEVICE T moved_towards(T running, B batch, compute_t<T> correction, compute_t<T> momentum) {
  using C = compute_t<T>;
  auto rounded = [](C v) { return static_cast<C>(static_cast<T>(v)); };
  C from = static_cast<C>(running), value = rounded(rounded(static_cast<C>(batch)) * correction);
  return static_cast<T>(from + rounded(rounded(value - from) * momentum));
}

}  // namespace plumb::function
