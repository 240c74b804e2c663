// Which draws of a Philox stream mean "dropped": shared by every operation with dropout, on every device.
#pragma once
#include <cstdint>

namespace plumb {

/// A 32-bit draw below this drops the element; so it is dropped with probability p up to 2⁻³².
constexpr uint32_t dropout_threshold(double p) { return static_cast<uint32_t>(p * 4294967295.0); }

}  // namespace plumb
