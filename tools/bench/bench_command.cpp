// `plumb bench`: how fast this build is on this machine.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>

#include "engine/core/error.h"
#include "engine/io/file.h"
#include "tools/bench/commands.h"
#include "tools/bench/kernels.h"
#include "tools/bench/page.h"
#include "tools/bench/scale.h"
#include "tools/bench/scaling.h"
#include "tools/bench/step_worker.h"
#include "tools/cli/device_option.h"
#include "tools/cli/heeded_options.h"
#include "tools/output_file.h"

namespace plumb::tools {
namespace {

bool names_torch(const std::vector<std::string>& peers) {
  return std::ranges::any_of(peers, [](const std::string& name) { return name.starts_with("torch"); });
}

constexpr const char* kNoPython = "only --against torch runs it";

struct Output {
  std::string html;
  bool json = false;
};

void output_options(CommandLine& line, Output& o) {
  line.option("--html", o.html, "a page to write");
  line.flag("--json", o.json, "one JSON object a line");
}

void at_least_one(const char* name, int64_t value) {
  if (value < 1) throw ConfigError(fmt::format("{} must be at least 1, it is {}", name, value));
}

void check(const KernelSettings& s) {
  if (!(s.seconds > 0)) throw ConfigError(fmt::format("--seconds must be positive, it is {}", s.seconds));
  at_least_one("--rounds", s.rounds);
  checked_device(s.device);
}

void report_all(const std::vector<JsonObject>& rows, BenchReport& report) {
  for (const JsonObject& row : rows) report.add(row);
}

Action define_kernels(CommandLine& line) {
  struct Options {
    KernelSettings settings;
    Output output;
  };
  auto o = std::make_shared<Options>();
  line.option("--only", o->settings.only, "kernels: gemm, conv, softmax, …; conv* for all that begin so");
  line.option(
      "--against", o->settings.against,
      "plain (a readable loop), openblas, onednn, torch; on a GPU plain, own (kernels in a library's place), cublaslt, cudnn, torch");
  line.option("--python", o->settings.python, "that has PyTorch; without it PLUMB_PYTHON of the environment, or python3");
  line.option("--binary", o->settings.binary, "plumb_bench; without it the one beside plumb");
  line.option("--device", o->settings.device, "cpu, cuda or cuda:N");
  line.option("--rounds", o->settings.rounds, "rounds; in each every row has a turn");
  line.option("--seconds", o->settings.seconds, "spent on each row, a round");
  output_options(line, o->output);
  return [o, line] {
    check(o->settings);
    refuse_unheeded(line, {{{"--python"}, names_torch(o->settings.against), kNoPython}});
    if (!o->output.html.empty()) check_can_write(o->output.html);
    std::vector<JsonObject> rows = time_kernels(o->settings);
    BenchReport report(o->output.json, o->output.html);
    report_all(rows, report);
    report.finish();
    return 0;
  };
}

struct ScalingOptions {
  std::vector<std::string> only;
  int64_t rounds = 5;
  std::string size = "small";
};

void run_scaling(const ScalingOptions& o, BenchReport& report) {
  std::vector<std::string> all = scaling_axes();
  all.push_back("threads");
  for (const std::string& what : o.only.empty() ? all : o.only) {
    if (what != "threads") {
      report.add(scaling_row(what, o.rounds));
      continue;
    }
    for (const std::string& work : step_workloads()) report_all(thread_rows(work, o.rounds, 2, o.size), report);
  }
}

Action define_scaling(CommandLine& line) {
  auto o = std::make_shared<ScalingOptions>();
  auto output = std::make_shared<Output>();
  line.option("--only", o->only, "which of length, width, batch, experts (cost against each), threads (one, and all)");
  line.option("--rounds", o->rounds, "rounds; in each every size has a turn");
  line.option("--size", o->size, "size of the workloads of threads: tiny, small or gpt2");
  output_options(line, *output);
  return [o, output, line] {
    at_least_one("--rounds", o->rounds);
    refuse_unheeded(line, {{{"--size"}, o->only.empty() || std::ranges::count(o->only, "threads") > 0, "it is of --only threads"}});
    step_size_from_name(o->size);
    BenchReport report(output->json, output->html);
    run_scaling(*o, report);
    report.finish();
    return 0;
  };
}

struct AllOptions {
  std::vector<std::string> against;
  std::string python, binary, size = "small";
  int64_t rounds = 5;
  double seconds = 0.05;
  Output output;
};

// Kernels first: where plumb_bench is missing, that is said before minutes have passed.
int run_all(const AllOptions& o, const CommandLine& line) {
  refuse_unheeded(line, {{{"--python"}, names_torch(o.against), kNoPython}});
  KernelSettings kernels{
      .against = {"plain", "openblas"}, .python = o.python, .binary = o.binary, .rounds = o.rounds, .seconds = o.seconds};
  StepsOptions steps{.bench = "steps", .python = o.python, .compare = {.rounds = o.rounds, .size = o.size}};
  for (const std::string& peer : o.against) {
    if (peer == "onednn" || peer == "torch") kernels.against.push_back(peer);
    if (peer != "onednn") steps.against.push_back(peer);
  }
  check(kernels);
  check_steps(steps);
  StepsOptions overhead = steps, profile = steps, half = steps;
  overhead.bench = "overhead";
  profile.profile = true;
  profile.against.clear();
  half.compare.dtype = "bf16";
  half.only = {"gpt", "moe"};
  if (!o.output.html.empty()) check_can_write(o.output.html);
  std::vector<JsonObject> kernel_rows = time_kernels(kernels);
  BenchReport report(o.output.json, o.output.html);
  report_all(kernel_rows, report);
  for (const StepsOptions* part : {&steps, &half, &overhead, &profile}) run_steps(*part, report);
  run_scaling({.only = {}, .rounds = o.rounds, .size = o.size}, report);
  report.finish();
  return 0;
}

Action define_all(CommandLine& line) {
  auto o = std::make_shared<AllOptions>();
  line.option("--against", o->against, "torch, onednn; steps also take a program's path");
  line.option("--python", o->python, "that has PyTorch; without it PLUMB_PYTHON of the environment, or python3");
  line.option("--binary", o->binary, "plumb_bench; without it the one beside plumb");
  line.option("--rounds", o->rounds, "rounds; in each every side has a turn");
  line.option("--seconds", o->seconds, "spent on each row of a kernel, a round");
  line.option("--size", o->size, "size of the workloads: tiny, small or gpt2");
  output_options(line, o->output);
  return [o, line] { return run_all(*o, line); };
}

Action define_page(CommandLine& line) {
  auto results = std::make_shared<std::string>();
  auto html = std::make_shared<std::string>("bench.html");
  line.required("results", *results, "what --json printed");
  line.option("--html", *html, "the page to write");
  return [results, html] {
    write_file_atomic(*html, bench_page(parse_rows(read_file(*results), *results)));
    fmt::print("{}\n", *html);
    return 0;
  };
}

Action define_scale(CommandLine& line) {
  auto steps = std::make_shared<int64_t>(7);
  line.option("--steps", *steps, "timed steps of each case");
  return [steps] {
    at_least_one("--steps", *steps);
    return scale_page(*steps);
  };
}

constexpr Command kernels_command{"kernels", "single kernels, beside the machine's ceilings and other libraries", define_kernels};
constexpr Command scaling_command{"scaling", "cost against length, width, batch, experts and threads, with the exponent that theory has",
                                  define_scaling};
constexpr Command all_command{"all", "kernels, steps, overhead, profiles and scaling, and one page of them", define_all};
constexpr Command page_command{"page", "the page of stored results", define_page};
constexpr Command scale_command{
    "scale",
    "memory, communication and time of training on many GPUs, by formulas checked with small cases (under mpirun: of several processes)",
    define_scale};
constexpr std::array<const Command*, 9> kinds{&all_command,          &kernels_command, &bench_steps_command, &bench_overhead_command,
                                              &bench_memory_command, &scaling_command, &page_command,        &scale_command,
                                              &bench_worker_command};

}  // namespace

extern const Command bench_command;
const Command bench_command{"bench", "time this build", [](CommandLine& line) { return choose(line, kinds); }};

}  // namespace plumb::tools
