// `plumb bench`: how fast this build is on this machine.
#include <fmt/format.h>

#include <array>
#include <cmath>
#include <cstdlib>
#include <memory>

#include "engine/core/error.h"
#include "engine/core/parallel.h"
#include "engine/io/json_object.h"
#include "tools/bench/steps.h"
#include "tools/commands.h"

namespace plumb::tools {
namespace {

struct Options {
  std::vector<std::string> only;
  int64_t steps = 7;
  bool json = false;
};

std::string as_json(const StepTiming& t) {
  JsonObject line;
  line.set("work", t.work);
  line.set("peer", "plumb " PLUMB_VERSION);
  line.set("device", "cpu");
  if (t.ns_per_op > 0) {
    line.set("ns_per_op_fwd_bwd", int64_t{std::llround(t.ns_per_op)});
    return line.text();
  }
  line.set("dtype", "f32");
  line.set("compile", false);
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
  for (const std::string& work : o.only.empty() ? step_workloads() : o.only) {
    StepTiming t = time_steps(work, o.steps);
    fmt::print("{}\n", o.json ? as_json(t) : as_text(t));
    std::fflush(stdout);
  }
  return 0;
}

constexpr Command steps_command{"steps", "whole training steps", [](CommandLine& line) -> Action {
  auto o = std::make_shared<Options>();
  line.option("--only", o->only, "workloads to run: gpt, moe, unet, resnet, tiny");
  line.option("--steps", o->steps, "timed steps");
  line.flag("--json", o->json, "one JSON object a line");
  return [o] { return steps(*o); };
}};
constexpr std::array<const Command*, 1> kinds{&steps_command};

}  // namespace

extern const Command bench_command;
const Command bench_command{"bench", "time this build", [](CommandLine& line) { return choose(line, kinds); }};

}  // namespace plumb::tools
