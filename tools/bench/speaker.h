// A child process that is asked and answers in JSON, a line at a time: a side of a comparison.
#pragma once
#include "engine/io/json_object.h"
#include "tools/bench/child.h"

namespace plumb::tools {

/// Every function throws ConfigError, with the side's name and its reason, if the side has ended or says that it has failed.
class Speaker {
 public:
  /// Starts it without a choice of BLAS kernels that is forced from outside, which may be another processor's.
  Speaker(std::string name, std::vector<std::string> command);

  JsonObject listen();
  /// Writes a line and reads the answer.
  JsonObject turn(const std::string& line);
  /// Reads its last line, and waits for its end.
  JsonObject finish();

 private:
  std::string name_;
  Child child_;
};

}  // namespace plumb::tools
