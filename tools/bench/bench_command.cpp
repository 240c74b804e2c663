// `plumb bench`: how fast this build is on this machine.
#include <fmt/format.h>
#include <plumb/version.h>

#include <array>
#include <memory>

#include "engine/core/error.h"
#include "engine/io/json_object.h"
#include "tools/bench/commands.h"
#include "tools/bench/kernels.h"
#include "tools/bench/scale.h"
#include "tools/cli/device_option.h"
#include "tools/commands.h"

namespace plumb::tools {
namespace {

struct Options {
  std::vector<std::string> only;
  int64_t steps = 7;
  double seconds = 0.5;
  std::string device = "cpu";
  bool json = false;
};

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
constexpr std::array<const Command*, 6> kinds{&kernels_command, &bench_steps_command, &bench_overhead_command, &bench_memory_command, &scale_command, &bench_worker_command};

}  // namespace

extern const Command bench_command;
const Command bench_command{"bench", "time this build", [](CommandLine& line) { return choose(line, kinds); }};

}  // namespace plumb::tools
