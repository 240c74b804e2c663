// What a command with --json printed: an object a line.
#pragma once
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "tests/tools/run_command.h"

namespace plumb_test {

/// The lines of a command that must have ended well.
inline std::vector<nlohmann::json> rows_of(const Outcome& o) {
  REQUIRE_MESSAGE(o.code == 0, o.err);
  std::istringstream lines(o.out);
  std::vector<nlohmann::json> rows;
  for (std::string line; std::getline(lines, line);) rows.push_back(nlohmann::json::parse(line));
  return rows;
}

}  // namespace plumb_test
