// `plumb info`: what this build is, what it found on this machine, and what slows it down here.
#include <fmt/format.h>
#include <plumb/version.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>

#include "engine/core/allocator.h"
#include "engine/core/device_runtime.h"
#include "engine/core/parallel.h"
#include "tools/cli/blas_speed.h"
#include "tools/cli/build.h"
#include "tools/cli/cpu.h"
#include "tools/commands.h"

namespace plumb::tools {
namespace {

void row(const char* label, const std::string& text) { std::printf("%-11s %s\n", label, text.c_str()); }

std::string threads() {
  const char* asked = std::getenv("PLUMB_NUM_THREADS");
  return fmt::format("{} of {} cores{}", num_threads(), sysconf(_SC_NPROCESSORS_ONLN),
                     asked ? fmt::format(" (PLUMB_NUM_THREADS={})", asked) : "");
}

/// A line of /proc/meminfo in GiB.
double memory_gib(const std::string& name) {
  std::ifstream info("/proc/meminfo");
  std::string key;
  double kib = 0;
  for (std::string rest; info >> key >> kib; std::getline(info, rest))
    if (key == name + ":") return kib / (1 << 20);
  return 0;
}

std::string memory() {
  return fmt::format("{:.1f} GiB, {:.1f} GiB available; tensors hold {:.1f} MiB", memory_gib("MemTotal"), memory_gib("MemAvailable"),
                     static_cast<double>(memory_stats(cpu).live) / (1 << 20));
}

/// OPENBLAS_CORETYPE makes the BLAS use another processor's kernels: says for which, and measures what that costs here.
void pin_row() {
  const char* pin = std::getenv("OPENBLAS_CORETYPE");
  if (!pin) return;
  std::string text = fmt::format("OPENBLAS_CORETYPE={} chooses the BLAS kernels: {:.0f} GFLOP/s a thread (f32, 768³)", pin, blas_gflops());
  double unpinned = blas_gflops_unpinned().value_or(0);
  text += unpinned > 0 ? fmt::format(", {:.0f} with it unset", unpinned)
                       : ", but with it unset the product fails on this processor: leave it set";
  row("", text);
}

/// The GPUs, or why there are none.
void gpu_rows() {
  if (!std::string(PLUMB_CUDA_STATUS).starts_with("CUDA: built")) return;
  if (std::string problem = device_problem(DeviceType::cuda); !problem.empty()) row("", problem);
  for (int i = 0; i < device_count(DeviceType::cuda); ++i) {
    Device gpu{DeviceType::cuda, static_cast<int8_t>(i)};
    row("", to_string(gpu) + ": " + describe(gpu));
  }
}

int info(bool only_blas_speed) {
  if (only_blas_speed) {
    std::printf("%.3f\n", blas_gflops());
    return 0;
  }
  row("version", kVersion);
  row("build", build_description());
  row("processor", cpu_model());
  row("features", cpu_features());
  row("BLAS", blas_description());
  pin_row();
  row("devices", "cpu (" PLUMB_CUDA_STATUS ")");
  gpu_rows();
  row("threads", threads());
  row("memory", memory());
  return 0;
}

Action define(CommandLine& line) {
  auto only_blas_speed = std::make_shared<bool>(false);
  line.flag("--blas-speed", *only_blas_speed, "print only the BLAS's GFLOP/s on one thread");
  return [only_blas_speed] { return info(*only_blas_speed); };
}

}  // namespace

extern const Command info_command;
const Command info_command{"info", "show the build, the processor, the BLAS, devices, threads and memory", define};

}  // namespace plumb::tools
