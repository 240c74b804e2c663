// Killing a training run on its way, and comparing what runs wrote.
#pragma once
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "engine/io/file.h"
#include "models/train/metrics.h"
#include "tests/tools/run_command.h"

// Starts `plumb` with `arguments` and sends it `signal` once it has written `lines` lines of metrics; returns its exit status.
inline int stop_midway(const std::string& arguments, const std::string& metrics, size_t lines, int signal) {
  pid_t child = fork();
  if (child == 0) {
    std::string command = "exec " + std::string(std::getenv("PLUMB_BINARY")) + " " + arguments + " >/dev/null 2>&1";
    execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
    _exit(127);
  }
  auto written = [&] {
    if (!plumb::path_exists(metrics)) return size_t{0};
    std::ifstream file(metrics);
    size_t n = 0;
    for (std::string line; std::getline(file, line);) ++n;
    return n;
  };
  for (int tries = 0; written() < lines && tries < 20000; ++tries) usleep(1000);
  kill(child, signal);
  int status = 0;
  waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

// Every number but the rate, which is a clock's, and memory: a resumed run's first step makes the optimiser's state anew.
inline std::vector<std::string> numbers(const std::string& path) {
  std::vector<std::string> out;
  for (const auto& line : plumb::train::read_metrics(path)) {
    std::string s = std::to_string(line.step);
    for (auto& [name, value] : line.values)
      if (!name.ends_with("_per_s") && name != "memory_mib") s += " " + name + "=" + std::to_string(value);
    out.push_back(s);
  }
  return out;
}
