// Fake quantisation on the GPU, by the CPU's own functions. Scales and zero points are seen as tensors of x's shape whose strides are 0 but
// along the channels. Bytes: forward reads x and writes y, backward reads dy and x and writes dx. Bound: memory, in f64 the division.
#include "ops/kernels/quantize.h"

#include "cuda/kernels/elementwise.h"
#include "cuda/kernels/reduce_engine.h"
#include "ops/quantize_functions.h"

namespace plumb::cuda_backend {
namespace {

// t [channels] as seen from x [outer, channels, inner].
Tensor of_channels(const Tensor& t, const Tensor& x) { return view_of(t, x.shape(), {0, t.strides().empty() ? 0 : t.strides()[0], 0}, 0); }

template <typename C>
struct Fake {
  C low, high;
  __device__ C operator()(C x, C scale, C zero) const { return quantization::fake(x, scale, zero, low, high); }
};
template <typename C>
struct FakeBackward {
  C low, high;
  __device__ C operator()(C dy, C x, C scale, C zero) const { return quantization::passes(x, scale, zero, low, high) ? dy : C(0); }
};
template <typename C>
struct Learned {
  C low, high;
  __device__ C operator()(C x, C step) const { return quantization::learned(x, step, low, high); }
};
template <typename C>
struct LearnedBackward {
  C low, high;
  __device__ C operator()(C dy, C x, C step) const {
    bool inside;
    quantization::step_slope(x, step, low, high, inside);
    return inside ? dy : C(0);
  }
};

// Σ dy times the slope in the step, a channel each.
template <typename S>
struct StepGradient {
  using C = compute_t<S>;
  using Value = double;
  static constexpr int kPack = 1;
  const S *dy, *x;
  const C* step;
  C low, high;
  double gradient_scale;
  C* dstep;
  __device__ double start() const { return 0; }
  __device__ double join(double a, double b) const { return a + b; }
  __device__ double element(int64_t at, int64_t channel, int64_t) const {
    bool inside;
    return static_cast<double>(load(dy[at]) * quantization::step_slope(load(x[at]), step[channel], low, high, inside));
  }
  __device__ void store(int64_t channel, double v) const { dstep[channel] = static_cast<C>(v * gradient_scale); }
};

void fake_quantize(const Tensor& x, const Tensor& scale, const Tensor& zero_point, QuantizationGrid grid, Tensor& y) {
  visit_floating("fake_quantize", x.dtype(), [&]<typename T>() {
    using C = compute_t<T>;
    elementwise<T, T, C, C>(Fake<C>{static_cast<C>(grid.low), static_cast<C>(grid.high)}, y, x, of_channels(scale, x),
                            of_channels(zero_point, x));
  });
}

void fake_quantize_backward(const Tensor& dy, const Tensor& x, const Tensor& scale, const Tensor& zero_point, QuantizationGrid grid,
                            Tensor& dx) {
  visit_floating("fake_quantize", x.dtype(), [&]<typename T>() {
    using C = compute_t<T>;
    elementwise<T, T, T, C, C>(FakeBackward<C>{static_cast<C>(grid.low), static_cast<C>(grid.high)}, dx, dy, x, of_channels(scale, x),
                               of_channels(zero_point, x));
  });
}

void learned_step_quantize(const Tensor& x, const Tensor& step, QuantizationGrid grid, Tensor& y) {
  visit_floating("learned_step_quantize", x.dtype(), [&]<typename T>() {
    using C = compute_t<T>;
    elementwise<T, T, C>(Learned<C>{static_cast<C>(grid.low), static_cast<C>(grid.high)}, y, x, of_channels(step, x));
  });
}

void learned_step_backward(const Tensor& dy, const Tensor& x, const Tensor& step, QuantizationGrid grid, double gradient_scale, Tensor& dx,
                           Tensor& dstep) {
  int64_t outer = x.shape()[0], channels = x.shape()[1], inner = x.shape()[2];
  ReduceAxes kept, reduced;
  kept.add({channels, inner, 1, 1});
  reduced.add({outer, channels * inner, 0, 0});
  reduced.add({inner, 1, 0, 0});
  visit_floating("learned_step_quantize", x.dtype(), [&]<typename T>() {
    using C = compute_t<T>;
    auto low = static_cast<C>(grid.low), high = static_cast<C>(grid.high);
    elementwise<T, T, T, C>(LearnedBackward<C>{low, high}, dx, dy, x, of_channels(step, x));
    reduce_axes(StepGradient<T>{dy.data<T>(), x.data<T>(), step.data<C>(), low, high, gradient_scale, dstep.data<C>()}, kept, reduced);
  });
}

}  // namespace

void register_quantize() {
  kernel::fake_quantize.set(DeviceType::cuda, fake_quantize);
  kernel::fake_quantize_backward.set(DeviceType::cuda, fake_quantize_backward);
  kernel::learned_step_quantize.set(DeviceType::cuda, learned_step_quantize);
  kernel::learned_step_backward.set(DeviceType::cuda, learned_step_backward);
}

}  // namespace plumb::cuda_backend
