// The command as one of the processes that mpirun started. Compiled into it where there is MPI.
#include <cstdio>
#include <cstdlib>

#include "engine/core/error.h"
#include "engine/dist/mpi.h"
#include "engine/dist/world.h"

namespace plumb::tools {

void join_processes() {
  try {
    dist::set_world(dist::mpi_world());
  } catch (const Error& error) {
    std::fprintf(stderr, "plumb: %s\n", error.what());
    std::exit(2);
  }
}

}  // namespace plumb::tools
