// `plumb bench`: how fast this build is on this machine.
#include <fmt/format.h>

#include <array>
#include <memory>

#include "engine/core/error.h"
#include "tools/bench/commands.h"
#include "tools/bench/kernels.h"
#include "tools/bench/report.h"
#include "tools/bench/scale.h"
#include "tools/cli/device_option.h"
#include "tools/commands.h"

namespace plumb::tools {
namespace {

struct KernelOptions {
  KernelSettings settings;
  bool json = false;
};

int kernels(const KernelOptions& o) {
  if (!(o.settings.seconds > 0)) throw ConfigError(fmt::format("--seconds must be positive, it is {}", o.settings.seconds));
  if (o.settings.rounds < 1) throw ConfigError(fmt::format("--rounds must be at least 1, it is {}", o.settings.rounds));
  checked_device(o.settings.device);
  BenchReport report(o.json);
  std::vector<JsonObject> rows = time_kernels(o.settings);
  report.add(environment_row());
  for (const JsonObject& row : rows) report.add(row);
  return 0;
}

constexpr Command kernels_command{"kernels", "single kernels, beside the machine's ceilings and other libraries", [](CommandLine& line) -> Action {
  auto o = std::make_shared<KernelOptions>();
  line.option("--only", o->settings.only, "kernels: gemm, conv, softmax, …; conv* for all that begin so");
  line.option("--against", o->settings.against, "plain (a readable loop), openblas, onednn, torch");
  line.option("--python", o->settings.python, "that has PyTorch; without it PLUMB_PYTHON of the environment, or python3");
  line.option("--binary", o->settings.binary, "plumb_bench; without it the one beside plumb");
  line.option("--device", o->settings.device, "cpu, cuda or cuda:N");
  line.option("--rounds", o->settings.rounds, "in each of which every row has a turn");
  line.option("--seconds", o->settings.seconds, "spent on each row, a round");
  line.flag("--json", o->json, "one JSON object a line");
  return [o] { return kernels(*o); };
}};
constexpr Command scale_command{"scale", "memory, communication and time of training on many GPUs, by formulas checked with small cases (under mpirun: of several processes)", [](CommandLine& line) -> Action {
  auto steps = std::make_shared<int64_t>(7);
  line.option("--steps", *steps, "timed steps of each case");
  return [steps] {
    if (*steps < 1) throw ConfigError("--steps must be at least 1, it is " + std::to_string(*steps));
    return scale_page(*steps);
  };
}};
constexpr std::array<const Command*, 6> kinds{&kernels_command, &bench_steps_command, &bench_overhead_command, &bench_memory_command, &scale_command, &bench_worker_command};

}  // namespace

extern const Command bench_command;
const Command bench_command{"bench", "time this build", [](CommandLine& line) { return choose(line, kinds); }};

}  // namespace plumb::tools
