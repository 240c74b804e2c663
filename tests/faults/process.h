// A command that runs beside the test, which watches it, sends it signals, and hears what it said in the end.
#pragma once
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <utility>

#include "tests/scratch.h"

namespace plumb_test {

class Process {
 public:
  /// Starts `plumb` with `arguments` behind `before` ("trap '' HUP;", "env A=b"), which a shell reads.
  explicit Process(const std::string& arguments, const std::string& before = "") {
    const char* binary = std::getenv("PLUMB_BINARY");
    std::string command = before + " exec " + (binary ? binary : "build/plumb") + " " + arguments + " >" + scratch_.path("out") + " 2>" +
                          scratch_.path("err");
    pid_ = fork();
    if (pid_ == 0) {
      execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
      _exit(127);
    }
  }
  ~Process() {
    if (pid_ > 0) kill(SIGKILL), wait();
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  void kill(int signal) const { ::kill(pid_, signal); }
  bool runs() {
    if (pid_ > 0 && waitpid(pid_, &status_, WNOHANG) == pid_) pid_ = 0;
    return pid_ > 0;
  }
  /// Waits for its end. Returns its exit code; 128 + the signal that ended it.
  int wait() {
    if (pid_ > 0) waitpid(std::exchange(pid_, 0), &status_, 0);
    return WIFSIGNALED(status_) ? 128 + WTERMSIG(status_) : WEXITSTATUS(status_);
  }
  std::string errors() const { return scratch_.get("err"); }

 private:
  Scratch scratch_;
  pid_t pid_ = 0;
  int status_ = 0;
};

/// Waits until the file at `path` has `lines` lines, or the process has ended. Returns whether it has them.
inline bool wait_for_lines(Process& process, const std::string& path, int lines) {
  for (;;) {
    bool last_look = !process.runs();
    std::ifstream file(path);
    int n = 0;
    for (std::string line; n < lines && std::getline(file, line);) ++n;
    if (n == lines || last_look) return n == lines;
    usleep(1000);
  }
}

}  // namespace plumb_test
