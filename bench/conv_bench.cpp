// Convolution, forward and both gradients, beside oneDNN and plain loops. A shape is images x channels x side - filters - kernel, stride,
// padding, groups. Operations are the multiply-adds of the sum itself, however it is computed.
#include "bench/gpu.h"
#include "bench/onednn.h"
#include "bench/suite.h"
#include "engine/core/parallel.h"
#include "ops/kernels/conv.h"

using namespace plumb;
using namespace plumb::bench;

namespace {

struct Case {
  int64_t n, channels, side, outputs, kernel, stride, padding, groups = 1;
  int64_t out_side() const { return (side + 2 * padding - kernel) / stride + 1; }
  std::string name() const {
    return dims({n, channels, side}) + "-" + std::to_string(outputs) + "-k" + std::to_string(kernel) + "s" + std::to_string(stride) + "p" +
           std::to_string(padding) + "g" + std::to_string(groups);
  }
  double multiply_adds() const {
    return static_cast<double>(n * outputs * out_side() * out_side()) * static_cast<double>(channels / groups * kernel * kernel);
  }
};

constexpr Case kCases[] = {{16, 64, 32, 64, 3, 1, 1},  {16, 128, 16, 128, 3, 1, 1}, {16, 256, 8, 256, 3, 1, 1},
                           {64, 512, 4, 512, 3, 1, 1}, {16, 64, 32, 128, 3, 2, 1},  {16, 64, 32, 256, 1, 1, 0},
                           {16, 3, 32, 64, 3, 1, 1},   {4, 3, 128, 64, 7, 2, 3},    {16, 64, 32, 64, 3, 1, 1, 64},
                           {64, 1, 28, 16, 5, 1, 2}};
constexpr Case kGpuCases[] = {{256, 64, 32, 64, 3, 1, 1}, {256, 256, 8, 256, 3, 1, 1}, {128, 64, 56, 256, 1, 1, 0}};

struct Operands {
  Tensor x, w, y;
  ConvGeometry g;
  Operands(const Case& c, DType type)
      : x(normal({c.n, c.channels, c.side, c.side}, type)), w(normal({c.outputs, c.channels / c.groups, c.kernel, c.kernel}, type)),
        y(normal({c.n, c.outputs, c.out_side(), c.out_side()}, type)), g{{c.stride, c.stride}, {c.padding, c.padding}, {1, 1}, c.groups} {}
};

std::function<void()> own(const Case& c, DType type, Pass pass) {
  Operands o(c, type);
  return [o, pass]() mutable {
    switch (pass) {
      case Pass::forward: kernel::conv(device(), o.x, o.w, {}, o.g, o.y); break;
      case Pass::input_gradient: kernel::conv_transpose(device(), o.y, o.w, {}, o.g, o.x); break;
      case Pass::weight_gradient: kernel::conv_weight(device(), o.y, o.x, o.g, o.w); break;
    }
  };
}

// Every output place sums its window.
std::function<void()> plain(const Case& c) {
  Operands o(c, f32);
  return [=] {
    const float *x = o.x.data<float>(), *w = o.w.data<float>();
    float* y = written(o.y);
    const int64_t in = c.channels / c.groups, out = c.outputs / c.groups, size = c.out_side();
    parallel_for(c.n * c.outputs, 1, [&](int64_t begin, int64_t end) {
      for (int64_t p = begin; p < end; ++p)
        for (int64_t i = 0; i < size; ++i)
          for (int64_t j = 0; j < size; ++j) {
            float sum = 0;
            for (int64_t k = 0; k < in; ++k)
              for (int64_t r = 0; r < c.kernel; ++r)
                for (int64_t s = 0; s < c.kernel; ++s) {
                  const int64_t row = i * c.stride - c.padding + r, column = j * c.stride - c.padding + s;
                  if (row < 0 || row >= c.side || column < 0 || column >= c.side) continue;
                  const int64_t channel = p % c.outputs / out * in + k;
                  sum += w[((p % c.outputs * in + k) * c.kernel + r) * c.kernel + s] *
                         x[((p / c.outputs * c.channels + channel) * c.side + row) * c.side + column];
                }
            y[(p * size + i) * size + j] = sum;
          }
    });
  };
}

void rows(const Case& c) {
  for (DType type : types()) {
    double bytes = static_cast<double>(item_size(type)) *
                   static_cast<double>(c.n * c.channels * c.side * c.side + c.outputs * c.channels / c.groups * c.kernel * c.kernel +
                                       c.n * c.outputs * c.out_side() * c.out_side());
    Work work{bytes, 2 * c.multiply_adds()};
    Convolution same{c.n, c.channels, c.side, c.outputs, c.kernel, c.stride, c.padding};
    for (auto [name, pass] : {std::pair{"conv", Pass::forward},
                              {"conv_input_gradient", Pass::input_gradient},
                              {"conv_weight_gradient", Pass::weight_gradient}}) {
      row(name, c.name(), type, "plumb", work, [c, type, pass = pass] { return own(c, type, pass); });
      gpu_row(name, c.name(), type, "cudnn", work, [same, pass = pass, type] { return gpu::cudnn_convolution(same, pass, type); });
      if (onednn::available && c.groups == 1 && type == f32)
        row(name, c.name(), f32, "onednn", work, [same, pass = pass] { return onednn::convolution(same, pass); });
    }
    gpu_row("conv", c.name(), type, "plain", work, [same, type] { return gpu::plain::convolution(same, type); });
    if (type == f32) row("conv", c.name(), f32, "plain", work, [c] { return plain(c); });
  }
}

const bool registered = suite([] {
  if (on_cpu())
    for (const Case& c : kCases) rows(c);
  else
    for (const Case& c : kGpuCases) rows(c);
});

}  // namespace
