// Workloads as steps, and the conversation about them.
#include "tools/bench/step_worker.h"

#include <cblas.h>
#include <fmt/format.h>
#include <plumb/version.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <fstream>
#include <functional>
#include <iostream>

#include "engine/autograd/autocast.h"
#include "engine/autograd/grad_mode.h"
#include "engine/core/allocator.h"
#include "engine/core/capture.h"
#include "engine/core/device_runtime.h"
#include "engine/core/error.h"
#include "engine/core/generator.h"
#include "engine/core/parallel.h"
#include "engine/core/precision.h"
#include "engine/io/json_object.h"
#include "models/optim/adam.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::tools {
namespace {

using Clock = std::chrono::steady_clock;

// The largest resident memory of this process so far (of itself: a number of getrusage would begin with its parent's), or of tensors on a
// GPU.
int64_t peak_mib(Device device) {
  if (device.type != DeviceType::cpu) return memory_stats(device).peak >> 20;
  std::ifstream status("/proc/self/status");
  std::string word;
  int64_t kib = 0;
  while (status >> word)
    if (word == "VmHWM:") status >> kib;
  return kib >> 10;
}

struct Workload {
  JsonObject about;
  std::function<void()> step;
  std::function<double()> loss;  // of the last step, where there is one
};

// A step of a model: forward, loss, backward, AdamW.
Workload model_workload(const WorkerSettings& o) {
  auto model = std::make_shared<StepModel>(make_step_model(o.work, o.size, o.device));
  auto adamw = std::make_shared<optim::AdamW>(model->module->parameters(), optim::AdamWOptions{.lr = 1e-3});
  DType dtype = o.dtype == "tf32" ? f32 : dtype_from_name(o.dtype);
  allow_tf32(o.dtype == "tf32");
  auto captured = std::make_shared<CapturedStep>(
      [model, adamw, dtype] {
        Tensor value;
        {
          Autocast cast(dtype);
          value = model->loss();
        }
        adamw->zero_grad();
        value.backward();
        adamw->step();
        return value;
      },
      o.capture ? o.device : cpu);
  auto last = std::make_shared<Tensor>();
  Workload w{.step = [captured, last] { *last = (*captured)(); }, .loss = [last] { return last->item(); }};
  w.about.set("work", model->name);
  w.about.set("unit", model->items);
  w.about.set("items", model->item_count);
  w.about.set("params", model->module->num_parameters());
  w.about.set("optimiser", "fused");
  if (model->flops > 0) w.about.set("flops", model->flops);
  return w;
}

constexpr int kPasses = 100, kOperations = 200;  // a step is so many passes of so many operations

// Products and sums of a 4×4 matrix with constants, or transposes of it.
Workload tiny_workload(const WorkerSettings& o) {
  Generator generator(0);
  RandomOptions there{.device = o.device, .generator = &generator};
  Tensor w = rand({4, 4}, there), b = 1 + 1e-3 * rand({4, 4}, there);
  bool recorded = o.work != "tiny-forward", backward = o.work == "tiny", views = o.work == "tiny-views";
  w.requires_grad_(recorded);
  Workload workload{.step = [=] {
    for (int pass = 0; pass < kPasses; ++pass) {
      w.zero_grad();
      Tensor y = w;
      if (views)
        for (int i = 0; i < kOperations; ++i) y = transpose(y, 0, 1);
      else
        for (int i = 0; i < kOperations / 2; ++i) y = y * b + b;
      if (backward) sum(y).backward();
    }
  }};
  workload.about.set("work", o.work);
  workload.about.set("unit", "operations");
  workload.about.set("items", int64_t{kPasses * kOperations});
  return workload;
}

bool contains(const std::vector<std::string>& names, const std::string& name) { return std::ranges::find(names, name) != names.end(); }

Workload make_workload(const WorkerSettings& o) {
  if (contains(step_workloads(), o.work)) return model_workload(o);
  if (contains(overhead_workloads(), o.work)) return tiny_workload(o);
  throw ConfigError(fmt::format("there is no work {}; choose from {}, {}", o.work, fmt::join(step_workloads(), ", "),
                                fmt::join(overhead_workloads(), ", ")));
}

void say(const JsonObject& line) {
  std::cout << line.text() << std::endl;
  if (!std::cout) throw IoError("standard output cannot be written");
}

// Until the call came back, and until its work was done: on a CPU the same.
struct Seconds {
  double call, whole;
};
Seconds timed(const std::function<void()>& run, Device device) {
  auto start = Clock::now();
  run();
  auto back = Clock::now();
  synchronize(device);
  return {std::chrono::duration<double>(back - start).count(), std::chrono::duration<double>(Clock::now() - start).count()};
}
double seconds_of(const std::function<void()>& run, Device device = cpu) { return timed(run, device).whole; }

// Calls answer(n) for each line with a number.
void take_turns(const std::function<void(int64_t)>& answer) {
  for (std::string line; std::getline(std::cin, line);) {
    int64_t n = 0;
    auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), n);
    if (error != std::errc{} || end != line.data() + line.size() || n < 1)
      throw ConfigError("--turns: a turn is a line with a number of steps, not \"" + line + "\"");
    answer(n);
  }
}

// The fastest known product: our own and OpenBLAS's, each at three sizes in turn.
int sgemm_worker() {
  Generator generator(0);
  std::vector<Tensor> operands;
  for (int64_t n : {1024, 2048, 4096}) operands.push_back(rand({n, n}, {.generator = &generator}));
  openblas_set_num_threads(num_threads());
  NoGrad off;
  JsonObject about;
  about.set("work", "sgemm");
  say(about);
  int64_t next = 0;
  take_turns([&](int64_t steps) {
    std::vector<double> rates;
    for (int64_t i = 0; i < steps; ++i, ++next) {
      const Tensor& x = operands[static_cast<size_t>(next / 2 % 3)];
      int n = static_cast<int>(x.size(0));
      Tensor y = empty({n, n});
      auto blas = [&] {
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, n, n, 1, x.data<float>(), n, x.data<float>(), n, 0, y.data<float>(), n);
      };
      double seconds = next % 2 ? seconds_of(blas) : seconds_of([&] { y = matmul(x, x); });
      rates.push_back(2.0 * n * n * n / seconds);
    }
    JsonObject reply;
    reply.set("flop_per_s", rates);
    say(reply);
  });
  return 0;
}

// The fastest known product on a GPU: our own, which is cuBLASLt's, at two sizes in turn, ten calls at a time.
int product_worker(const WorkerSettings& o) {
  constexpr int kCalls = 10;
  Generator generator(0);
  allow_tf32(o.dtype == "tf32");
  DType dtype = o.dtype == "tf32" ? f32 : dtype_from_name(o.dtype);
  std::vector<Tensor> operands;
  for (int64_t n : {4096, 8192}) operands.push_back(randn({n, n}, {.dtype = dtype, .device = o.device, .generator = &generator}));
  NoGrad off;
  JsonObject about;
  about.set("work", "product");
  say(about);
  take_turns([&](int64_t steps) {
    std::vector<double> rates;
    for (int64_t i = 0; i < steps; ++i) {
      const Tensor& x = operands[static_cast<size_t>(i) % operands.size()];
      auto n = static_cast<double>(x.size(0));
      matmul(x, x);
      synchronize(o.device);
      rates.push_back(2 * n * n * n * kCalls / seconds_of([&] { for (int k = 0; k < kCalls; ++k) matmul(x, x); }, o.device));
    }
    JsonObject reply;
    reply.set("flop_per_s", rates);
    say(reply);
  });
  return 0;
}

}  // namespace

std::vector<std::string> step_workloads() { return {"gpt", "moe", "unet", "resnet"}; }
std::vector<std::string> overhead_workloads() { return {"tiny", "tiny-recorded", "tiny-forward", "tiny-views"}; }

int step_worker(const WorkerSettings& o) {
  if (o.work == "sgemm") return sgemm_worker();
  if (o.work == "product") return product_worker(o);
  int64_t before = o.device.type == DeviceType::cpu ? peak_mib(o.device) : 0;
  Workload w = make_workload(o);
  JsonObject last_words;
  int64_t done = 0;
  for (; done < o.warmup; ++done) {
    seconds_of(w.step, o.device);
    if (done == 0 && w.loss) last_words.set("first_loss", w.loss());
  }
  w.about.set("peer", std::string("plumb ") + kVersion);
  w.about.set("device", to_string(o.device));
  w.about.set("dtype", o.dtype);
  w.about.set("compile", o.capture);
  if (winograd_allowed() != Winograd::tiles_2x2) w.about.set("winograd", winograd_allowed() == Winograd::off ? "off" : "4x4");
  w.about.set("threads", int64_t{num_threads()});
  say(w.about);
  take_turns([&](int64_t steps) {
    std::vector<double> times, calls;
    done += steps;
    for (int64_t i = 0; i < steps; ++i) {
      Seconds t = timed(w.step, o.device);
      times.push_back(t.whole);
      calls.push_back(t.call);
    }
    JsonObject reply;
    reply.set("step_s", times);
    if (o.device.type != DeviceType::cpu) {
      reply.set("call_s", calls);
      // The same steps without waiting in between: what a step takes when its launch is hidden behind the one before.
      auto start = Clock::now();
      for (int64_t i = 0; i < steps; ++i) w.step();
      synchronize(o.device);
      done += steps;
      reply.set("queued_s", std::chrono::duration<double>(Clock::now() - start).count() / static_cast<double>(steps));
    }
    say(reply);
  });
  // Spoilt weights are cheap to multiply: times of steps that do not learn mean nothing.
  if (w.loss && done > 0) {
    if (double loss = w.loss(); std::isfinite(loss)) last_words.set("last_loss", loss);
    else throw ConfigError(fmt::format("the loss is {} after {} steps; their times mean nothing", loss, done));
  }
  last_words.set("peak_mib", peak_mib(o.device));
  last_words.set("over_import_mib", peak_mib(o.device) - before);
  say(last_words);
  return 0;
}

}  // namespace plumb::tools
