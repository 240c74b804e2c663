// The machine and the build that figures belong to.
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <plumb/version.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <ctime>
#include <fstream>

#include "engine/core/parallel.h"
#include "tools/bench/report.h"
#include "tools/cli/blas_speed.h"
#include "tools/cli/build.h"
#include "tools/cli/cpu.h"

namespace plumb::tools {
namespace {

std::string load() {
  double averages[1] = {0};
  return getloadavg(averages, 1) == 1 ? fmt::format("{:.2f}", averages[0]) : "unknown";
}

std::string system_name() {
  utsname name{};
  return uname(&name) == 0 ? fmt::format("{} {}", name.sysname, name.release) : "unknown";
}

std::string command_line() {
  std::ifstream file("/proc/self/cmdline");
  std::string text = "plumb", word;
  std::getline(file, word, '\0');
  while (std::getline(file, word, '\0')) text += " " + word;
  return text;
}

double memory_gib() { return static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGE_SIZE)) / (1 << 30); }

}  // namespace

JsonObject environment_row() {
  JsonObject row;
  row.set("bench", "environment");
  row.set("command", command_line());
  row.set("date", fmt::format("{:%Y-%m-%d %H:%M} UTC", fmt::gmtime(std::time(nullptr))));
  row.set("plumb", std::string("plumb ") + kVersion);
  row.set("build", build_description());
  row.set("processor", cpu_model());
  row.set("features", cpu_features());
  row.set("cores", static_cast<int64_t>(sysconf(_SC_NPROCESSORS_ONLN)));
  row.set("threads", int64_t{num_threads()});
  row.set("memory_gib", std::round(memory_gib() * 10) / 10);
  row.set("load", load());
  row.set("blas", blas_description());
  row.set("system", system_name());
  return row;
}

}  // namespace plumb::tools
