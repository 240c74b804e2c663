// Fake quantisation on the CPU. Elements fall into stretches that share a step; a step's gradient is summed within fixed stretches, then
// over them in order, so the result does not depend on the number of threads. Bytes: forward reads x and writes y, backward reads dy and x
// and writes dx. Bound: memory, in f64 the division.
#include "ops/kernels/quantize.h"

#include <vector>

#include "ops/cpu/rows.h"
#include "ops/quantize_functions.h"

namespace plumb::cpu_kernels {
namespace {

// Rows of x [outer, channels, inner] cut into blocks.
struct Stretches {
  explicit Stretches(const Tensor& x)
      : channels(x.shape()[1]), inner(x.shape()[2]), rows(x.shape()[0] * channels), blocks((inner + kLaneBlock - 1) / kLaneBlock) {}
  int64_t channels, inner, rows, blocks;

  // body(stretch, channel, first, end) for all of them; stretches of a channel come in order.
  template <typename Body>
  void for_each(Body&& body) const {
    parallel_for(rows * blocks, std::max<int64_t>(1, kPointwiseGrain / std::min(inner, kLaneBlock)), [&](int64_t begin, int64_t end) {
      for (int64_t k = begin; k < end; ++k) {
        int64_t row = k / blocks, block = k % blocks;
        body(k, row % channels, row * inner + block * kLaneBlock, row * inner + std::min(inner, (block + 1) * kLaneBlock));
      }
    });
  }
};

using namespace quantization;

void fake_quantize(const Tensor& input, const Tensor& scale, const Tensor& zero_point, QuantizationGrid grid, Tensor& output) {
  visit_floating("fake_quantize", input.dtype(), [&]<typename T>() {
    using C = compute_t<T>;
    const T* x = input.data<T>();
    T* y = output.data<T>();
    C low = static_cast<C>(grid.low), high = static_cast<C>(grid.high);
    Stretches(input).for_each([&](int64_t, int64_t channel, int64_t first, int64_t end) {
      C s = scale.data<C>()[channel], z = zero_point.data<C>()[channel];
      for (int64_t i = first; i < end; ++i) y[i] = static_cast<T>(fake(static_cast<C>(x[i]), s, z, low, high));
    });
  });
}

void fake_quantize_backward(const Tensor& gradient, const Tensor& input, const Tensor& scale, const Tensor& zero_point,
                            QuantizationGrid grid, Tensor& dinput) {
  visit_floating("fake_quantize", input.dtype(), [&]<typename T>() {
    using C = compute_t<T>;
    const T *x = input.data<T>(), *dy = gradient.data<T>();
    T* dx = dinput.data<T>();
    C low = static_cast<C>(grid.low), high = static_cast<C>(grid.high);
    Stretches(input).for_each([&](int64_t, int64_t channel, int64_t first, int64_t end) {
      C s = scale.data<C>()[channel], z = zero_point.data<C>()[channel];
      for (int64_t i = first; i < end; ++i) dx[i] = passes(static_cast<C>(x[i]), s, z, low, high) ? dy[i] : T(0.0f);
    });
  });
}

void learned_step_quantize(const Tensor& input, const Tensor& step, QuantizationGrid grid, Tensor& output) {
  visit_floating("learned_step_quantize", input.dtype(), [&]<typename T>() {
    using C = compute_t<T>;
    const T* x = input.data<T>();
    T* y = output.data<T>();
    C low = static_cast<C>(grid.low), high = static_cast<C>(grid.high);
    Stretches(input).for_each([&](int64_t, int64_t channel, int64_t first, int64_t end) {
      C s = step.data<C>()[channel];
      for (int64_t i = first; i < end; ++i) y[i] = static_cast<T>(learned(static_cast<C>(x[i]), s, low, high));
    });
  });
}

void learned_step_backward(const Tensor& gradient, const Tensor& input, const Tensor& step, QuantizationGrid grid, double gradient_scale,
                           Tensor& dinput, Tensor& dstep) {
  visit_floating("learned_step_quantize", input.dtype(), [&]<typename T>() {
    using C = compute_t<T>;
    const T *x = input.data<T>(), *dy = gradient.data<T>();
    T* dx = dinput.data<T>();
    C low = static_cast<C>(grid.low), high = static_cast<C>(grid.high);
    Stretches stretches(input);
    std::vector<C> sums(static_cast<size_t>(stretches.rows * stretches.blocks));
    stretches.for_each([&](int64_t k, int64_t channel, int64_t first, int64_t end) {
      C s = step.data<C>()[channel];
      sums[static_cast<size_t>(k)] = lane_sum_block<C>(first, end, [=](int64_t i) {
        bool inside;
        C slope = step_slope(static_cast<C>(x[i]), s, low, high, inside);
        dx[i] = inside ? dy[i] : T(0.0f);
        return static_cast<C>(dy[i]) * slope;
      });
    });
    std::vector<double> totals(static_cast<size_t>(stretches.channels));
    for (size_t k = 0; k < sums.size(); ++k)
      totals[k / static_cast<size_t>(stretches.blocks) % totals.size()] += static_cast<double>(sums[k]);
    for (size_t c = 0; c < totals.size(); ++c) dstep.data<C>()[c] = static_cast<C>(totals[c] * gradient_scale);
  });
}

}  // namespace

void register_quantize() {
  kernel::fake_quantize.set(DeviceType::cpu, fake_quantize);
  kernel::fake_quantize_backward.set(DeviceType::cpu, fake_quantize_backward);
  kernel::learned_step_quantize.set(DeviceType::cpu, learned_step_quantize);
  kernel::learned_step_backward.set(DeviceType::cpu, learned_step_backward);
}

}  // namespace plumb::cpu_kernels
