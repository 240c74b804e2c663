// `plumb bench steps`, `overhead` and `memory`: whole steps in processes of their own, beside peers.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <memory>

#include "engine/core/error.h"
#include "engine/core/parallel.h"
#include "tools/bench/commands.h"
#include "tools/bench/compare.h"
#include "tools/bench/profile.h"
#include "tools/bench/report.h"
#include "tools/bench/row.h"
#include "tools/bench/statistics.h"
#include "tools/bench/step_worker.h"
#include "tools/cli/device_option.h"
#include "tools/cli/heeded_options.h"
#include "tools/cli/winograd_option.h"

namespace plumb::tools {
namespace {

constexpr const char* kStart = "start";  // of a process, up to the end of its first step of a tiny GPT

struct Options {
  StepsOptions steps;
  std::string html;
  bool json = false;
};

void check(const StepsOptions& o, const std::vector<std::string>& known) {
  for (const std::string& work : o.only)
    if (std::ranges::find(known, work) == known.end())
      throw ConfigError(fmt::format("--only {} is unknown; choose from {}", work, fmt::join(known, ", ")));
  for (auto [name, value] : {std::pair{"--rounds", o.compare.rounds}, {"--steps", o.compare.steps}})
    if (value < 1) throw ConfigError(fmt::format("{} must be at least 1, it is {}", name, value));
  if (o.compare.threads < 0) throw ConfigError(fmt::format("--threads must not be negative, it is {}", o.compare.threads));
  const std::string& dtype = o.compare.dtype;
  if (dtype != "f32" && dtype != "tf32" && dtype != "bf16" && dtype != "f16")
    throw ConfigError("--dtype " + dtype + " is unknown; choose f32, tf32, bf16 or f16");
  check_winograd(o.compare.winograd);
  step_size_from_name(o.compare.size);
  checked_device(o.compare.device);
}

// Ours must run. A peer that does not is left out with a line; if none runs, there is no comparison to make.
void check_sides(const StepsOptions& o, const std::vector<SideResult>& results) {
  if (!results.at(0).problem.empty()) throw ConfigError(results[0].problem);
  std::vector<std::string> problems;
  for (const SideResult& r : results)
    if (!r.problem.empty()) problems.push_back(r.problem);
  if (problems.empty()) return;
  bool torch = std::ranges::any_of(o.against, [](const std::string& name) { return name.starts_with("torch"); });
  const char* cure = torch ? "; --python PATH or PLUMB_PYTHON names a Python that has PyTorch" : "";
  if (problems.size() + 1 == results.size()) throw ConfigError(problems[0] + cure);
  for (const std::string& problem : problems) fmt::print(stderr, "plumb: bench {}: left out: {}\n", o.bench, problem);
}

void compare_starts(const StepsOptions& o, const std::vector<Side>& sides, BenchReport& report) {
  CompareSettings tiny = o.compare;
  tiny.size = "tiny";
  std::vector<SideResult> results;
  for (const Side& side : sides) {
    SideResult& r = results.emplace_back(SideResult{.name = side.name});
    try {
      r.medians = start_times("gpt", side, tiny);
    } catch (const Error& error) {
      r.problem = error.what();
    }
  }
  check_sides(o, results);
  for (const SideResult& r : results) {
    if (!r.problem.empty()) continue;
    JsonObject row;
    row.set("bench", "start");
    row.set("side", r.name);
    set_interval(row, "first_step_s", estimate(r.medians));
    if (&r != &results[0]) set_interval(row, "ratio", ratio(r.medians, results[0].medians));
    row.set("rounds", static_cast<int64_t>(r.medians.size()));
    report.add(row);
  }
}

void compare_steps(const StepsOptions& o, const std::string& work, const std::vector<Side>& sides, BenchReport& report) {
  bool counted = work == "gpt" && o.bench == "steps" && o.compare.size != "tiny";
  double ceiling = counted ? fastest_product(1, o.compare) : 0;
  std::vector<SideResult> results = compare(work, sides, o.compare);
  check_sides(o, results);
  if (counted) ceiling = std::max(ceiling, fastest_product(1, o.compare));
  for (const JsonObject& row : comparison_rows(o.bench, results, ceiling)) report.add(row);
}

void profile_steps(const StepsOptions& o, BenchReport& report) {
  if (!o.against.empty()) throw ConfigError("--profile looks into our own steps; leave --against out");
  if (o.compare.dtype == "tf32") throw ConfigError("--dtype tf32: --profile looks into steps of f32, bf16 and f16; choose one of those");
  set_winograd(o.compare.winograd);
  for (const std::string& work : o.only.empty() ? step_workloads() : o.only) {
    if (work == "tiny") throw ConfigError("--only " + work + " has no profile; choose from gpt, moe, unet, resnet");
    for (const JsonObject& row : profile_rows({.model = work,
                                 .size = step_size_from_name(o.compare.size),
                                 .device = checked_device(o.compare.device),
                                 .dtype = dtype_from_name(o.compare.dtype),
                                 .warmup = 3,
                                 .steps = o.compare.steps}))
      report.add(row);
  }
}

std::vector<std::string> steps_known() {
  std::vector<std::string> known = step_workloads();
  known.push_back("tiny");
  return known;
}

std::vector<std::string> overhead_known() {
  std::vector<std::string> known = overhead_workloads();
  known.push_back(kStart);
  return known;
}

std::vector<std::string> known_to(const std::string& bench) {
  return bench == "steps" ? steps_known() : bench == "overhead" ? overhead_known() : step_workloads();
}

void refuse_unheeded_options(const CommandLine& line, const StepsOptions& o) {
  bool torch = std::ranges::any_of(o.against, [](const std::string& name) { return name.starts_with("torch"); });
  refuse_unheeded(line, {{{"--rounds", "--capture"}, !o.profile, "--profile looks into steps of one process, one by one"},
                         {{"--threads"}, !o.profile, "--profile looks into this process, whose threads PLUMB_NUM_THREADS chooses"},
                         {{"--capture"}, o.compare.device != "cpu", "the CPU is given its work call by call, only --device cuda is not"},
                         {{"--python"}, torch, "only --against torch runs it"}});
}

int run(const Options& o, const CommandLine& line) {
  refuse_unheeded_options(line, o.steps);
  check_steps(o.steps);
  BenchReport report(o.json, o.html);
  run_steps(o.steps, report);
  report.finish();
  return 0;
}

Action define(CommandLine& line, const char* bench, CompareSettings defaults) {
  auto o = std::make_shared<Options>(Options{.steps = {.bench = bench, .compare = std::move(defaults)}});
  line.option("--only", o->steps.only, fmt::format("of {}", fmt::join(known_to(bench), ", ")));
  line.option("--against", o->steps.against, "peers: torch (eager and compiled), torch-eager, torch-compiled, or a program's path");
  line.option("--python", o->steps.python, "that has PyTorch; without it PLUMB_PYTHON of the environment, or python3");
  line.option("--rounds", o->steps.compare.rounds, "rounds; in each every side has a turn");
  line.option("--steps", o->steps.compare.steps, "timed, a turn");
  line.option("--threads", o->steps.compare.threads, "threads of each side; 0: as PLUMB_NUM_THREADS says, or all cores");
  line.option("--device", o->steps.compare.device, "cpu, cuda or cuda:N");
  line.option("--dtype", o->steps.compare.dtype, "f32, tf32, bf16 or f16 (autocast)");
  line.option("--winograd", o->steps.compare.winograd, kWinogradHelp);
  line.option("--size", o->steps.compare.size, "tiny, small, or gpt2: 124 M parameters and batches for a GPU");
  line.flag("--capture", o->steps.compare.capture, "on a GPU, each step of ours started by one call");
  if (o->steps.bench == "steps")
    line.flag("--profile", o->steps.profile, "where the time of a step goes, kernel by kernel, in place of how long it takes");
  line.option("--html", o->html, "a page to write");
  line.flag("--json", o->json, "one JSON object a line");
  return [o, line] { return run(*o, line); };
}

Action define_worker(CommandLine& line) {
  struct Worker {
    WorkerSettings settings;
    std::string size = "small", device = "cpu", winograd = "2x2";
    int64_t threads = 0;
    bool turns = false;
  };
  auto w = std::make_shared<Worker>();
  line.required("work", w->settings.work, "the workload");
  line.option("--threads", w->threads, "0: as PLUMB_NUM_THREADS says, or all cores");
  line.option("--dtype", w->settings.dtype, "f32, tf32, bf16 or f16 (autocast)");
  line.option("--device", w->device, "cpu, cuda or cuda:N");
  line.option("--winograd", w->winograd, kWinogradHelp);
  line.option("--size", w->size, "tiny, small or gpt2");
  line.option("--warmup", w->settings.warmup, "steps before the first turn");
  line.flag("--turns", w->turns, "part of the protocol; there is no other way");
  line.flag("--capture", w->settings.capture, "on a GPU, each step started by one call");
  return [w] {
    if (w->threads > 0) set_num_threads(static_cast<int>(w->threads));
    set_winograd(w->winograd);
    w->settings.size = step_size_from_name(w->size);
    w->settings.device = checked_device(w->device);
    return step_worker(w->settings);
  };
}

}  // namespace

void check_steps(const StepsOptions& o) {
  check(o, known_to(o.bench));
  step_peers(o.against, o.python);
}

void run_steps(const StepsOptions& o, BenchReport& report) {
  if (o.profile) return profile_steps(o, report);
  Peers peers = step_peers(o.against, o.python);
  std::vector<Side> alone{own_side()}, sides = alone;
  sides.insert(sides.end(), peers.sides.begin(), peers.sides.end());
  for (const std::string& work : o.only.empty() ? known_to(o.bench) : o.only) {
    if (work == kStart) compare_starts(o, sides, report);
    else compare_steps(o, work, work.starts_with("tiny-") ? alone : sides, report);  // peers have no part in what only ours is made of
  }
}

extern const Command bench_steps_command, bench_overhead_command, bench_memory_command, bench_worker_command;
const Command bench_steps_command{"steps", "whole training steps, beside peers",
                                  [](CommandLine& line) { return define(line, "steps", {}); }};
const Command bench_overhead_command{"overhead", "what an operation costs beside its arithmetic, and the start of a process, beside peers",
                                     [](CommandLine& line) { return define(line, "overhead", {}); }};
const Command bench_memory_command{"memory", "the memory of whole training steps, beside peers",
                                   [](CommandLine& line) { return define(line, "memory", {.rounds = 1}); }};
const Command bench_worker_command{"worker", "one side of a comparison, driven by another program (bench/README.md)", define_worker};

}  // namespace plumb::tools
