// A height and a width as an option: one number stands for both.
#pragma once
#include <concepts>
#include <cstdint>

namespace plumb {

struct Size2 {
  int64_t height, width;
  constexpr Size2(std::integral auto both) : height(static_cast<int64_t>(both)), width(static_cast<int64_t>(both)) {}
  constexpr Size2(int64_t height_, int64_t width_) : height(height_), width(width_) {}
  friend constexpr bool operator==(const Size2&, const Size2&) = default;
};

}  // namespace plumb
