// A convolution as the benchmarks' libraries are told of it: square images and filters, one group.
#pragma once
#include <cstdint>

namespace plumb::bench {

struct Convolution {
  int64_t n, channels, side, outputs, kernel, stride, padding;
  int64_t out_side() const { return (side + 2 * padding - kernel) / stride + 1; }
};
enum class Pass : uint8_t { forward, input_gradient, weight_gradient };

}  // namespace plumb::bench
