// Random draws: nanoseconds a number.
#include <benchmark/benchmark.h>

#include "engine/core/parallel.h"
#include "ops/random.h"

using namespace plumb;

namespace {

constexpr int64_t kNumbers = int64_t{1} << 20;

template <typename F>
void measure(benchmark::State& state, F&& draw) {
  set_num_threads(1);
  for (auto _ : state) benchmark::DoNotOptimize(draw());
  state.counters["ns_per_number"] = benchmark::Counter(static_cast<double>(kNumbers) * static_cast<double>(state.iterations()) * 1e-9, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

void BM_rand_f32(benchmark::State& s) { measure(s, [] { return rand({kNumbers}); }); }
void BM_rand_f64(benchmark::State& s) { measure(s, [] { return rand({kNumbers}, {.dtype = f64}); }); }
void BM_rand_bf16(benchmark::State& s) { measure(s, [] { return rand({kNumbers}, {.dtype = bf16}); }); }
void BM_randn_f32(benchmark::State& s) { measure(s, [] { return randn({kNumbers}); }); }
void BM_randn_f64(benchmark::State& s) { measure(s, [] { return randn({kNumbers}, {.dtype = f64}); }); }
void BM_bernoulli(benchmark::State& s) { measure(s, [] { return bernoulli({kNumbers}, 0.1); }); }
void BM_exponential(benchmark::State& s) { measure(s, [] { return exponential({kNumbers}); }); }
void BM_gumbel(benchmark::State& s) { measure(s, [] { return gumbel({kNumbers}); }); }
void BM_truncated_normal(benchmark::State& s) { measure(s, [] { return truncated_normal({kNumbers}, 0, 1, -2, 2); }); }
void BM_randint(benchmark::State& s) { measure(s, [] { return randint(0, 1000, {kNumbers}); }); }
void BM_randperm(benchmark::State& s) { measure(s, [] { return randperm(kNumbers); }); }

}  // namespace

BENCHMARK(BM_rand_f32);
BENCHMARK(BM_rand_f64);
BENCHMARK(BM_rand_bf16);
BENCHMARK(BM_randn_f32);
BENCHMARK(BM_randn_f64);
BENCHMARK(BM_bernoulli);
BENCHMARK(BM_exponential);
BENCHMARK(BM_gumbel);
BENCHMARK(BM_truncated_normal);
BENCHMARK(BM_randint);
BENCHMARK(BM_randperm);
