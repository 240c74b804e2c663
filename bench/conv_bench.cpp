// Convolution against plain loops on all threads, forward and both gradients. GFLOP/s counts the multiply-adds of the sum itself.
// Run as bench/gemm_bench.cpp says.
#include "ops/conv.h"

#include <benchmark/benchmark.h>

#include <string>

#include "engine/autograd/grad_mode.h"
#include "engine/core/parallel.h"
#include "ops/kernels/conv.h"

namespace {

using namespace plumb;

struct Case {
  const char* name;
  int64_t batch, in, size, out, kernel, stride, padding, groups;
  int64_t output() const { return (size + 2 * padding - kernel) / stride + 1; }
  double multiply_adds() const { return static_cast<double>(batch * out * output() * output() * (in / groups) * kernel * kernel); }
};

constexpr Case kCases[] = {
    {"3x3_64_at_32", 16, 64, 32, 64, 3, 1, 1, 1},     {"3x3_128_at_16", 16, 128, 16, 128, 3, 1, 1, 1},
    {"3x3_256_at_8", 16, 256, 8, 256, 3, 1, 1, 1},    {"3x3_64_to_128_strided", 16, 64, 32, 128, 3, 2, 1, 1},
    {"1x1_64_to_256_at_32", 16, 64, 32, 256, 1, 1, 0, 1}, {"3x3_rgb_at_32", 16, 3, 32, 64, 3, 1, 1, 1},
    {"7x7_rgb_strided_at_128", 4, 3, 128, 64, 7, 2, 3, 1},  {"3x3_depthwise_64_at_32", 16, 64, 32, 64, 3, 1, 1, 64},
    {"5x5_digits", 64, 1, 28, 16, 5, 1, 2, 1},
};

struct Tensors {
  Tensor x, w, y;
  ConvGeometry g;
  explicit Tensors(const Case& c)
      : x(full({c.batch, c.in, c.size, c.size}, 0.25)), w(full({c.out, c.in / c.groups, c.kernel, c.kernel}, 0.5)),
        y(full({c.batch, c.out, c.output(), c.output()}, 0.125)), g{{c.stride, c.stride}, {c.padding, c.padding}, {1, 1}, c.groups} {}
};

void forward(const Case&, Tensors& t) { kernel::conv(cpu, t.x, t.w, {}, t.g, t.y); }
void input_gradient(const Case&, Tensors& t) { kernel::conv_transpose(cpu, t.y, t.w, {}, t.g, t.x); }
void weight_gradient(const Case&, Tensors& t) { kernel::conv_weight(cpu, t.y, t.x, t.g, t.w); }

// What a first version would be: every output place sums its window.
void plain(const Case& c, Tensors& t) {
  const float *x = t.x.data<float>(), *w = t.w.data<float>();
  float* y = t.y.data<float>();
  const int64_t in = c.in / c.groups, out = c.out / c.groups, size = c.output();
  parallel_for(c.batch * c.out, 1, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p)
      for (int64_t i = 0; i < size; ++i)
        for (int64_t j = 0; j < size; ++j) {
          float sum = 0;
          for (int64_t k = 0; k < in; ++k)
            for (int64_t r = 0; r < c.kernel; ++r)
              for (int64_t s = 0; s < c.kernel; ++s) {
                const int64_t row = i * c.stride - c.padding + r, column = j * c.stride - c.padding + s;
                if (row < 0 || row >= c.size || column < 0 || column >= c.size) continue;
                const int64_t channel = p % c.out / out * in + k;
                sum += w[((p % c.out * in + k) * c.kernel + r) * c.kernel + s] * x[((p / c.out * c.in + channel) * c.size + row) * c.size + column];
              }
          y[(p * size + i) * size + j] = sum;
        }
  });
}

void run(benchmark::State& state, const Case& c, void (*compute)(const Case&, Tensors&)) {
  NoGrad off;
  Tensors t(c);
  compute(c, t);
  for (auto _ : state) {
    compute(c, t);
    benchmark::ClobberMemory();
  }
  state.counters["GFLOP/s"] = benchmark::Counter(2e-9 * c.multiply_adds(), benchmark::Counter::kIsIterationInvariantRate);
}

const bool registered = [] {
  struct Side {
    const char* name;
    void (*compute)(const Case&, Tensors&);
  };
  for (const Case& c : kCases)
    for (Side side : {Side{"forward", forward}, {"dx", input_gradient}, {"dw", weight_gradient}, {"plain", plain}})
      benchmark::RegisterBenchmark((std::string("conv/") + c.name + "/" + side.name).c_str(), [&c, side](benchmark::State& state) { run(state, c, side.compute); })->UseRealTime();
  return true;
}();

}  // namespace
