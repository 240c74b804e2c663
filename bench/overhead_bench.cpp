// What an operation costs beyond its arithmetic: nanoseconds an element-wise operation on 4×4, forward and backward.
#include <benchmark/benchmark.h>

#include "engine/autograd/backward.h"
#include "engine/autograd/grad_mode.h"
#include "engine/core/parallel.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;

namespace {

constexpr int kOperations = 200;

void per_operation(benchmark::State& state) {
  state.counters["ns_per_op"] = benchmark::Counter(kOperations * static_cast<double>(state.iterations()) * 1e-9, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

// 200 products and sums of a 4×4 matrix with constants, their sum, and the backward pass.
void BM_tiny_forward_backward(benchmark::State& state) {
  Tensor w = randn({4, 4}).requires_grad_(), b = randn({4, 4}) * 1e-3 + 1.0;
  for (auto _ : state) {
    w.zero_grad();
    Tensor y = w;
    for (int i = 0; i < kOperations / 2; ++i) y = y * b + b;
    sum(y).backward();
  }
  per_operation(state);
}

void BM_tiny_forward_recorded(benchmark::State& state) {
  Tensor w = randn({4, 4}).requires_grad_(), b = randn({4, 4}) * 1e-3 + 1.0;
  for (auto _ : state) {
    Tensor y = w;
    for (int i = 0; i < kOperations / 2; ++i) y = y * b + b;
    benchmark::DoNotOptimize(y);
  }
  per_operation(state);
}

void BM_tiny_forward(benchmark::State& state) {
  NoGrad off;
  Tensor w = randn({4, 4}), b = randn({4, 4}) * 1e-3 + 1.0;
  for (auto _ : state) {
    Tensor y = w;
    for (int i = 0; i < kOperations / 2; ++i) y = y * b + b;
    benchmark::DoNotOptimize(y);
  }
  per_operation(state);
}

void BM_tiny_views(benchmark::State& state) {
  Tensor w = randn({4, 4}).requires_grad_();
  for (auto _ : state) {
    Tensor y = w;
    for (int i = 0; i < kOperations; ++i) y = transpose(y, 0, 1);
    benchmark::DoNotOptimize(y);
  }
  per_operation(state);
}

}  // namespace

BENCHMARK(BM_tiny_forward_backward);
BENCHMARK(BM_tiny_forward_recorded);
BENCHMARK(BM_tiny_forward);
BENCHMARK(BM_tiny_views);
