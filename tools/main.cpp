// The `plumb` command. This file is compiled for the plainest processor, so that the check runs anywhere.
#include <cstdio>

#include "tools/cli/cpu.h"

namespace plumb::tools {
int run(int argc, const char* const* argv);
#ifdef PLUMB_WITH_MPI
void join_processes();  // tools/processes.cpp
#endif
}

int main(int argc, char** argv) {
  if (const char* feature = plumb::tools::missing_cpu_feature()) {
    std::fprintf(stderr, "plumb: this processor lacks %s, which the program was built for (x86-64-v3: Intel Haswell, AMD Zen or later)\n", feature);
    return 2;
  }
#ifdef PLUMB_WITH_MPI
  plumb::tools::join_processes();
#endif
  return plumb::tools::run(argc, argv);
}
