// The process group, and which rank prints.
#include "engine/dist/world.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>

namespace plumb::dist {
namespace {

Communicator alone;
Communicator* the_world = &alone;
int error_descriptor = STDERR_FILENO;

}  // namespace

Communicator& world() { return *the_world; }
void set_world(Communicator& processes) { the_world = &processes; }

void quieten_others() {
  if (world().rank() == 0 || error_descriptor != STDERR_FILENO) return;
  int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (nowhere < 0) return;
  std::fflush(nullptr);
  error_descriptor = dup(STDERR_FILENO);
  dup2(nowhere, STDOUT_FILENO);
  dup2(nowhere, STDERR_FILENO);
  close(nowhere);
}

void say_anyway(const std::string& line) noexcept {
  std::fflush(nullptr);
  dprintf(error_descriptor, "%s\n", line.c_str());
}

}  // namespace plumb::dist
