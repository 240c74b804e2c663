// The open end of uniform numbers, found on the host for kernels of any device.
#pragma once
#include <cmath>
#include <limits>

#include "engine/core/half.h"

namespace plumb::random {

/// The largest T below `high`: a scaled number must not round up to the open end.
template <typename T>
float largest_below(double high) {
  auto stored = static_cast<float>(static_cast<T>(static_cast<float>(high)));
  while (stored >= high) {
    float less = std::nextafter(stored, -std::numeric_limits<float>::infinity());
    stored = static_cast<float>(static_cast<T>(less));
    if (stored >= high) {  // rounded back up: step in T itself
      T t(stored);
      if constexpr (sizeof(T) == 2) t.bits = static_cast<uint16_t>(stored > 0 ? t.bits - 1 : stored == 0 ? 0x8001 : t.bits + 1);
      stored = static_cast<float>(t);
    }
  }
  return stored;
}

}  // namespace plumb::random
