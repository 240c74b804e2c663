// `plumb info`: what this build is and what it found on this machine.
#include <cstdio>

#include "tools/commands.h"

namespace plumb::tools {
namespace {

int info() {
  std::printf("version      %s\n", PLUMB_VERSION);
  return 0;
}

}  // namespace

extern const Command info_command;
const Command info_command{"info", "show the build, the processor, devices, threads and memory", [](CLI::App&) -> Action { return info; }};

}  // namespace plumb::tools
