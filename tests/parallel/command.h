// `mpirun -np N plumb …` for tests, and the end of one of its processes.
#pragma once
#include <dirent.h>
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <fstream>

#include "engine/io/file.h"
#include "engine/io/safetensors.h"
#include "models/train/metrics.h"
#include "models/train/run_directory.h"
#include "tests/tools/run_command.h"

namespace plumb_test {

using namespace plumb;

// Under mpirun such files have nothing to test: they start processes themselves.
inline bool among_several() { return std::getenv("PLUMB_TEST_PROCESSES") != nullptr; }

inline std::string by(int processes, const std::string& arguments) {
  std::string mpirun =
      "env OMPI_MCA_plm=isolated OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 "
      "OMPI_MCA_btl_vader_single_copy_mechanism=none PLUMB_NUM_THREADS=1 mpirun -np ";
  std::string plumb = std::getenv("PLUMB_BINARY") ? std::getenv("PLUMB_BINARY") : "build/plumb";
  return processes == 1 ? plumb + " " + arguments : mpirun + std::to_string(processes) + " " + plumb + " " + arguments;
}

inline std::string text_file(const plumb_test::Scratch& scratch) {
  std::string text;
  for (int i = 0; i < 400; ++i) text += "the " + std::to_string(i * i % 97) + " cats and " + std::to_string(i % 13) + " dogs\n";
  write_file_atomic(scratch.path("text.txt"), text);
  return scratch.path("text.txt");
}

inline double largest_difference(const StateDict& a, const StateDict& b) {
  double largest = a.size() == b.size() ? 0 : INFINITY;
  for (auto& [name, t] : a) {
    std::vector<double> x = to_vector(t), y = to_vector(b.at(name));
    for (size_t i = 0; i < x.size(); ++i) largest = std::max(largest, std::abs(x[i] - y[i]));
  }
  return largest;
}

inline StateDict weights(const std::string& run) { return train::RunDirectory::open(run).load_model(); }

inline size_t lines_of(const std::string& path) {
  std::ifstream file(path);
  size_t n = 0;
  for (std::string line; std::getline(file, line);) ++n;
  return n;
}

// Processes of this program's that have `text` in their command line and `rank` as Open MPI's rank.
inline pid_t process_of(const std::string& text, const std::string& rank) {
  pid_t found = 0;
  DIR* all = opendir("/proc");
  while (dirent* entry = readdir(all)) {
    std::string at = std::string("/proc/") + entry->d_name;
    auto contents = [&](const char* name) {
      std::ifstream file(at + name);
      return std::string(std::istreambuf_iterator<char>(file), {});
    };
    if (std::string line = contents("/cmdline"); line.find(text) == std::string::npos || line.find("mpirun") != std::string::npos) continue;
    if (contents("/environ").find("OMPI_COMM_WORLD_RANK=" + rank + '\0') != std::string::npos)
      found = static_cast<pid_t>(std::atoi(entry->d_name));
  }
  closedir(all);
  return found;
}

// Starts the command, kills the process of this rank once the run has `lines` lines of metrics, and returns what was said. Open MPI would
// kill the others a second later, which is too soon for a checkpoint on a busy machine.
inline std::string lose(const std::string& command, const std::string& run, const std::string& rank, size_t lines, const std::string& log) {
  pid_t child = fork();
  if (child == 0) {
    execl("/bin/sh", "sh", "-c", ("exec env OMPI_MCA_odls_base_sigkill_timeout=6 " + command + " >" + log + " 2>&1 </dev/null").c_str(),
          nullptr);
    _exit(127);
  }
  for (int tries = 0; (!path_exists(run + "/metrics.jsonl") || lines_of(run + "/metrics.jsonl") < lines) && tries < 30000; ++tries)
    usleep(1000);
  pid_t victim = process_of(run, rank);
  REQUIRE(victim > 0);
  kill(victim, SIGKILL);
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(status != 0);
  usleep(1'500'000);  // what the launcher could not reach
  return read_file(log);
}

}  // namespace plumb_test
