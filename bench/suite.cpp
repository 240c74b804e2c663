// Registering rows with Google Benchmark.
#include "bench/suite.h"

#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "bench/gpu.h"
#include "engine/core/device_runtime.h"
#include "engine/core/generator.h"
#include "ops/random.h"

namespace plumb::bench {
namespace {

Device chosen = cpu;

std::vector<std::function<void()>>& suites() {
  static std::vector<std::function<void()>> all;
  return all;
}

// A GPU is waited for once a batch, not once a call.
void measure(benchmark::State& state, const Work& work, const std::function<std::function<void()>()>& make) {
  std::function<void()> call = make();
  call();
  synchronize(chosen);
  const int64_t batch = on_cpu() ? 1 : 10;
  while (state.KeepRunningBatch(batch)) {
    for (int64_t i = 0; i < batch; ++i) call();
    synchronize(chosen);
    benchmark::ClobberMemory();
  }
  state.counters["bytes"] = work.bytes;
  state.counters["flops"] = work.flops;
  if (work.bytes > 0) state.counters["GB/s"] = benchmark::Counter(1e-9 * work.bytes, benchmark::Counter::kIsIterationInvariantRate);
  if (work.flops > 0) state.counters["GFLOP/s"] = benchmark::Counter(1e-9 * work.flops, benchmark::Counter::kIsIterationInvariantRate);
}

}  // namespace

bool suite(std::function<void()> add_rows) {
  suites().push_back(std::move(add_rows));
  return true;
}

void register_rows() {
  for (const auto& add_rows : suites()) add_rows();
}

static void add_row(const std::string& kernel, const std::string& shape, DType type, const char* side, Work work,
                    std::function<std::function<void()>()> make) {
  std::string name = fmt::format("{}/{}/{}/{}", kernel, shape, plumb::name(type), side);
  benchmark::RegisterBenchmark(name.c_str(), [work, make = std::move(make)](benchmark::State& state) {
    measure(state, work, make);
  })->UseRealTime();
}

void row(const std::string& kernel, const std::string& shape, DType type, const char* side, Work work,
         std::function<std::function<void()>()> make) {
  if (on_cpu() || std::string_view(side) == "plumb") add_row(kernel, shape, type, side, work, std::move(make));
}

void gpu_row(const std::string& kernel, const std::string& shape, DType type, const char* side, Work work,
             std::function<std::function<void()>()> make) {
  if (!on_cpu() && gpu::available) add_row(kernel, shape, type, side, work, std::move(make));
}

Device device() { return chosen; }
void set_device(Device device) { chosen = device; }
bool on_cpu() { return chosen.type == DeviceType::cpu; }
int64_t sized(int64_t gpu, int64_t cpu_size) { return on_cpu() ? cpu_size : gpu; }
std::vector<DType> types() { return on_cpu() ? std::vector<DType>{f32} : std::vector<DType>{f32, bf16}; }

std::string dims(std::initializer_list<int64_t> sizes) { return fmt::format("{}", fmt::join(sizes, "x")); }

Tensor normal(const Shape& shape, DType type) {
  Generator generator(0);
  return randn(shape, {.dtype = type, .device = chosen, .generator = &generator});
}

Tensor integers(int64_t high, const Shape& shape) {
  Generator generator(0);
  return randint(0, high, shape, {.dtype = i64, .device = chosen, .generator = &generator});
}

float* written(const Tensor& x) { return Tensor(x).data<float>(); }

double bytes_of(const Tensor& x) { return static_cast<double>(x.numel()) * static_cast<double>(item_size(x.dtype())); }

std::function<void()> backward_call(const Tensor& y, const Tensor& dy, std::vector<Tensor> inputs) {
  return [=] {
    for (const Tensor& x : inputs) x.zero_grad();
    y.backward(dy, true);
  };
}

}  // namespace plumb::bench
