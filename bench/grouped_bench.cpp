// Grouped products beside what they stand for: one product of as many rows with a single matrix (the floor), and one call a segment.
// Shapes are an expert's first layer in a mixture of 8, with even loads and with loads that rise from 1 to 15 sixty-fourths of the rows.
// Run as gemm_bench.cpp says.
#include <benchmark/benchmark.h>

#include <vector>

#include "engine/autograd/grad_mode.h"
#include "ops/grouped_matmul.h"
#include "ops/matmul.h"
#include "ops/random.h"
#include "ops/shape.h"

using namespace plumb;

namespace {

constexpr int64_t kExperts = 8;

struct Operands {
  Tensor x, weight, slope;  // [rows, in], [E, out, in], [rows, out]
  std::vector<int64_t> offsets;
};

Operands operands(const benchmark::State& state) {
  int64_t rows = state.range(0), in = state.range(1), out = state.range(2);
  Operands o{randn({rows, in}), randn({kExperts, out, in}), randn({rows, out}), {}};
  for (int64_t e = 0; e <= kExperts; ++e) o.offsets.push_back(state.range(3) ? rows * e * e / (kExperts * kExperts) : rows * e / kExperts);
  return o;
}

template <typename F>
void run(benchmark::State& state, F&& f) {
  NoGrad off;
  Operands o = operands(state);
  Tensor offsets = from_vector(o.offsets);
  for (auto _ : state) f(o, offsets);
  double flops = 2.0 * static_cast<double>(state.range(0) * state.range(1) * state.range(2));
  state.counters["GFLOP/s"] = benchmark::Counter(flops * static_cast<double>(state.iterations()) * 1e-9, benchmark::Counter::kIsRate);
}

void BM_forward_grouped(benchmark::State& state) {
  run(state, [](const Operands& o, const Tensor& offsets) { benchmark::DoNotOptimize(grouped_linear(o.x, o.weight, {}, offsets)); });
}
void BM_forward_one_by_one(benchmark::State& state) {
  run(state, [](const Operands& o, const Tensor&) {
    for (int64_t e = 0; e < kExperts; ++e) {
      auto place = static_cast<size_t>(e);
      benchmark::DoNotOptimize(linear(slice(o.x, 0, o.offsets[place], o.offsets[place + 1]), select(o.weight, 0, e)));
    }
  });
}
void BM_forward_one_matrix(benchmark::State& state) {
  run(state, [](const Operands& o, const Tensor&) { benchmark::DoNotOptimize(linear(o.x, select(o.weight, 0, 0))); });
}
void BM_weight_slope_grouped(benchmark::State& state) {
  run(state, [](const Operands& o, const Tensor& offsets) { benchmark::DoNotOptimize(grouped_outer(o.slope, o.x, offsets)); });
}
void BM_weight_slope_one_matrix(benchmark::State& state) {
  run(state, [](const Operands& o, const Tensor&) { benchmark::DoNotOptimize(matmul(mT(o.slope), o.x)); });
}

void shapes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"rows", "in", "out", "uneven"})->Unit(benchmark::kMicrosecond)->UseRealTime();
  for (int64_t uneven : {0, 1}) b->Args({1536, 128, 256, uneven})->Args({4096, 384, 768, uneven});
}
BENCHMARK(BM_forward_grouped)->Apply(shapes);
BENCHMARK(BM_forward_one_by_one)->Apply(shapes);
BENCHMARK(BM_forward_one_matrix)->Apply(shapes);
BENCHMARK(BM_weight_slope_grouped)->Apply(shapes);
BENCHMARK(BM_weight_slope_one_matrix)->Apply(shapes);

}  // namespace
