// The `plumb` command. This file is compiled for the plainest processor, so that the check runs anywhere.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>

#include "tools/cli/cpu.h"

namespace plumb::tools {
int run(int argc, const char* const* argv);
#ifdef PLUMB_WITH_MPI
void join_processes();  // tools/processes.cpp
#endif
}

// A standard stream that is closed would lend its number to the next file that is opened, which then got what was meant for a terminal.
// In its place stands one that can no more be used than a closed one.
static void keep_standard_streams() {
  for (int stream : {0, 1, 2})
    if (fcntl(stream, F_GETFD) == -1 && open("/dev/null", stream == 0 ? O_WRONLY : O_RDONLY) == -1) return;
}

#ifdef __GLIBC__
static ssize_t say(void*, const char* text, size_t size) {
  for (size_t said = 0; said < size;) {
    ssize_t n = write(STDERR_FILENO, text + said, size - said);
    if (n < 0 && errno != EINTR) break;
    said += n > 0 ? static_cast<size_t>(n) : 0;
  }
  return static_cast<ssize_t>(size);
}
#endif

// That nobody reads what is said on standard error (a full disk under a log, a terminal that was closed) is no reason to stop the work: the
// stream takes everything, and what cannot be written is lost.
static void let_messages_be_lost() {
#ifdef __GLIBC__
  cookie_io_functions_t functions{};
  functions.write = say;
  std::FILE* stream = fopencookie(nullptr, "w", functions);
  if (!stream) return;
  std::setvbuf(stream, nullptr, _IONBF, 0);
  stderr = stream;
#endif
}

int main(int argc, char** argv) {
  std::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow further (ulimit -f): the write fails, which is said
  keep_standard_streams();
  let_messages_be_lost();
  if (const char* feature = plumb::tools::missing_cpu_feature()) {
    std::fprintf(stderr, "plumb: this processor lacks %s, which the program was built for (x86-64-v3: Intel Haswell, AMD Zen or later)\n",
                 feature);
    return 2;
  }
#ifdef PLUMB_WITH_MPI
  plumb::tools::join_processes();
#endif
  return plumb::tools::run(argc, argv);
}
