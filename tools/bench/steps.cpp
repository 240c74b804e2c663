// Timing whole training steps.
#include "tools/bench/steps.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <functional>

#include "engine/autograd/autocast.h"
#include "engine/core/allocator.h"
#include "engine/core/capture.h"
#include "engine/core/device_runtime.h"
#include "engine/core/error.h"
#include "engine/core/generator.h"
#include "models/optim/adam.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "tools/step_model.h"

namespace plumb::tools {
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

int64_t peak_mib(Device device) {
  if (device.type != DeviceType::cpu) return memory_stats(device).peak >> 20;
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss / 1024;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Three steps to warm up, then the median. A step ends when the device has done all of it.
void time(StepTiming& t, int64_t before, const StepSettings& o, int64_t items, std::function<Tensor()> run) {
  CapturedStep captured(std::move(run), o.capture ? o.device : cpu);
  auto step = [&] {
    captured();
    synchronize(o.device);
  };
  for (int i = 0; i < 3; ++i) step();
  std::vector<double> times;
  for (int64_t i = 0; i < o.steps; ++i) {
    auto start = Clock::now();
    step();
    times.push_back(seconds_since(start));
  }
  t.step_s = median(times);
  t.items_per_s = static_cast<double>(items) / t.step_s;
  t.peak_mib = peak_mib(o.device);
  t.over_start_mib = t.peak_mib - before;
}

// A step of the model: forward, loss, backward, AdamW.
StepTiming time_model(const char* name, const StepSettings& o) {
  int64_t before = o.device.type == DeviceType::cpu ? peak_mib(o.device) : 0;
  StepModel model = make_step_model(name, o.large ? StepSize::gpt2 : StepSize::small, o.device);
  StepTiming t{.work = model.name, .params = model.module->num_parameters(), .items = model.items};
  optim::AdamW adamw(model.module->parameters(), {.lr = 1e-3});
  time(t, before, o, model.item_count, [&] {
    Tensor value;
    {
      Autocast cast(o.dtype);
      value = model.loss();
    }
    adamw.zero_grad();
    value.backward();
    adamw.step();
    return value;
  });
  return t;
}

// 200 element-wise operations on 4×4 tensors, forward and backward: what an operation costs beyond its arithmetic.
StepTiming time_tiny(const StepSettings& o) {
  Generator generator(0);
  RandomOptions there{.device = o.device, .generator = &generator};
  Tensor w = rand({4, 4}, there), b = 1 + 1e-3 * rand({4, 4}, there);
  w.requires_grad_();
  auto step = [&] {
    w.zero_grad();
    Tensor y = w;
    for (int i = 0; i < 100; ++i) y = y * b + b;
    sum(y).backward();
  };
  for (int i = 0; i < 20; ++i) step();
  synchronize(o.device);
  std::vector<double> times(100);
  for (double& time : times) {
    auto start = Clock::now();
    step();
    synchronize(o.device);
    time = seconds_since(start) / 200;
  }
  std::ranges::nth_element(times, times.begin() + 50);
  return {.work = "tiny", .ns_per_op = times[50] * 1e9};
}

// Those of the models that peers were measured on too, and what an operation costs.
constexpr const char* kModels[] = {"gpt", "moe", "unet", "resnet"};

}  // namespace

std::vector<std::string> step_workloads() {
  std::vector<std::string> names(std::begin(kModels), std::end(kModels));
  names.push_back("tiny");
  return names;
}

StepTiming time_steps(const std::string& work, const StepSettings& settings) {
  if (work == "tiny") return time_tiny(settings);
  for (const char* model : kModels)
    if (work == model) return time_model(model, settings);
  throw ConfigError(fmt::format("--only {} is unknown; choose from {}", work, fmt::join(step_workloads(), ", ")));
}

}  // namespace plumb::tools
