// Running a program as a user would, and what it said.
#pragma once
#include <sys/wait.h>

#include <cstdlib>
#include <string>

#include "tests/scratch.h"

struct Outcome {
  int code;         ///< exit code; 128 + signal if it was killed
  std::string out;  ///< what it wrote to stdout
  std::string err;  ///< and to stderr
};

/// Runs a shell command with nothing on its standard input.
inline Outcome run_shell(const std::string& command) {
  plumb_test::Scratch scratch;
  std::string line = "{ " + command + " ; } >" + scratch.path("out") + " 2>" + scratch.path("err") + " </dev/null";
  int status = std::system(line.c_str());
  int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return {code, scratch.get("out"), scratch.get("err")};
}

/// Runs `plumb` with `arguments`.
inline Outcome run_plumb(const std::string& arguments) {
  const char* binary = std::getenv("PLUMB_BINARY");
  return run_shell(std::string(binary ? binary : "build/plumb") + " " + arguments);
}
