// `plumb bench`: how fast this build is on this machine.
#include <fmt/format.h>
#include <plumb/version.h>

#include <array>
#include <cmath>
#include <cstdlib>
#include <memory>

#include "engine/core/error.h"
#include "engine/core/parallel.h"
#include "engine/core/precision.h"
#include "engine/io/json_object.h"
#include "tools/bench/kernels.h"
#include "tools/bench/scale.h"
#include "tools/bench/steps.h"
#include "tools/cli/device_option.h"
#include "tools/commands.h"

namespace plumb::tools {
namespace {

struct Options {
  std::vector<std::string> only;
  int64_t steps = 7;
  double seconds = 0.5;
  std::string device = "cpu", dtype = "f32", size = "small";
  bool capture = false, json = false;
};

std::string as_json(const StepTiming& t, const Options& o) {
  JsonObject line;
  line.set("work", t.work);
  line.set("peer", std::string("plumb ") + kVersion);
  line.set("device", o.device);
  if (t.ns_per_op > 0) {
    line.set("ns_per_op_fwd_bwd", int64_t{std::llround(t.ns_per_op)});
    return line.text();
  }
  line.set("dtype", o.dtype);
  line.set("compile", o.capture);
  line.set("threads", int64_t{num_threads()});
  line.set("optimiser", "fused");
  line.set("params", t.params);
  line.set("step_s", std::round(t.step_s * 1e5) / 1e5);
  line.set(t.items + "_per_s", std::round(t.items_per_s * 10) / 10);
  line.set("peak_mib", t.peak_mib);
  line.set("over_import_mib", t.over_start_mib);
  return line.text();
}

std::string as_text(const StepTiming& t) {
  if (t.ns_per_op > 0) return fmt::format("{:10} {:.0f} ns an operation, forward and backward", t.work, t.ns_per_op);
  return fmt::format("{:10} {:.4f} s a step  {:.0f} {}/s  {} MiB", t.work, t.step_s, t.items_per_s, t.items, t.peak_mib);
}

int steps(const Options& o) {
  if (o.steps < 1) throw ConfigError("--steps must be at least 1, it is " + std::to_string(o.steps));
  if (o.dtype != "f32" && o.dtype != "tf32" && o.dtype != "bf16" && o.dtype != "f16") throw ConfigError("--dtype " + o.dtype + " is unknown; choose f32, tf32, bf16 or f16");
  if (o.size != "small" && o.size != "gpt2") throw ConfigError("--size " + o.size + " is unknown; choose small or gpt2");
  allow_tf32(o.dtype == "tf32");
  StepSettings settings{.steps = o.steps, .device = checked_device(o.device), .dtype = o.dtype == "tf32" ? f32 : dtype_from_name(o.dtype), .large = o.size == "gpt2", .capture = o.capture};
  for (const std::string& work : o.only.empty() ? step_workloads() : o.only) {
    StepTiming t = time_steps(work, settings);
    fmt::print("{}\n", o.json ? as_json(t, o) : as_text(t));
    std::fflush(stdout);
  }
  return 0;
}

std::string as_json(const KernelTiming& t, const Options& o) {
  JsonObject line;
  line.set("kernel", t.kernel);
  line.set("peer", std::string("plumb ") + kVersion);
  line.set("device", o.device);
  line.set("dtype", t.dtype);
  line.set("shape", t.shape);
  line.set("us", t.seconds * 1e6);
  line.set(t.bytes > 0 ? "gb_per_s" : "gflop_per_s", t.per_second() / 1e9);
  line.set("share_of_ceiling", t.share());
  return line.text();
}

std::string as_text(const KernelTiming& t) {
  return fmt::format("{:28} {:5} {:32} {:10.1f} us {:10.1f} {} {:5.0f} % of the {}", t.kernel, t.dtype, t.shape, t.seconds * 1e6, t.per_second() / 1e9,
                     t.bytes > 0 ? "GB/s    " : "GFLOP/s ", 100 * t.share(), t.bytes > 0 ? "fastest copy" : "fastest product");
}

int kernels(const Options& o) {
  if (!(o.seconds > 0)) throw ConfigError(fmt::format("--seconds must be positive, it is {}", o.seconds));
  for (const KernelTiming& t : time_kernels(o.only, checked_device(o.device), o.seconds)) fmt::print("{}\n", o.json ? as_json(t, o) : as_text(t));
  return 0;
}

constexpr Command steps_command{"steps", "whole training steps", [](CommandLine& line) -> Action {
  auto o = std::make_shared<Options>();
  line.option("--only", o->only, "workloads to run: gpt, moe, unet, resnet, tiny");
  line.option("--steps", o->steps, "timed steps");
  line.option("--device", o->device, "cpu, cuda or cuda:N");
  line.option("--dtype", o->dtype, "f32, tf32, bf16 or f16 (autocast)");
  line.option("--size", o->size, "small, or gpt2: 124 M parameters and batches for a GPU");
  line.flag("--capture", o->capture, "on a GPU, each step started by one call");
  line.flag("--json", o->json, "one JSON object a line");
  return [o] { return steps(*o); };
}};
constexpr Command kernels_command{"kernels", "single kernels, next to the device's own ceilings", [](CommandLine& line) -> Action {
  auto o = std::make_shared<Options>();
  line.option("--only", o->only, "rows to run: " + fmt::format("{}", fmt::join(kernel_rows(), ", ")));
  line.option("--device", o->device, "cpu, cuda or cuda:N");
  line.option("--seconds", o->seconds, "spent on each");
  line.flag("--json", o->json, "one JSON object a line");
  return [o] { return kernels(*o); };
}};
constexpr Command scale_command{"scale", "memory, communication and time of training on many GPUs, by formulas checked with small cases (under mpirun: of several processes)", [](CommandLine& line) -> Action {
  auto o = std::make_shared<Options>();
  line.option("--steps", o->steps, "timed steps of each case");
  return [o] {
    if (o->steps < 1) throw ConfigError("--steps must be at least 1, it is " + std::to_string(o->steps));
    return scale_page(o->steps);
  };
}};
constexpr std::array<const Command*, 3> kinds{&steps_command, &kernels_command, &scale_command};

}  // namespace

extern const Command bench_command;
const Command bench_command{"bench", "time this build", [](CommandLine& line) { return choose(line, kinds); }};

}  // namespace plumb::tools
