// Running an experiment: every variant with every seed, stored cell by cell so that it can be stopped and go on.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "methods/results.h"
#include "methods/shelf.h"

namespace plumb::methods {

struct RunOptions {
  Budget budget = Budget::usual;
  int64_t seeds = 5;                       ///< so many, from first_seed on
  int64_t first_seed = 0;                  ///< another one keeps what is tried while choosing settings apart from what is reported
  Device device = cpu;
  std::vector<std::string> variants = {};  ///< those to run; empty: all
  std::string out;                         ///< directory for cells.jsonl, results.json, pictures and the page; empty: nothing is written
  std::string command = {}, machine = {};  ///< for the record
  /// Called as work goes on: cells done, of how many, what is running.
  std::function<void(double done, size_t cells, const std::string& now)> progress = {};
};

/// Runs seed by seed, and within a seed the variants in order. Cells that `out` holds from an earlier run with the same method, budget and
/// device are not run again. A metric that the experiment does not declare, or one that a variant did not measure, is a ValueError that
/// names it. Throws ConfigError for an unknown variant, a device that the experiment does not follow, seeds < 1, a negative first_seed, or
/// an `out` of another run; Interrupted after Ctrl-C, with the finished cells kept.
Results run_experiment(const Method& method, const RunOptions& options);

/// Writes OUT/results.json and OUT/report.html. Throws IoError.
void write_results(const Method& method, const Results& results, const std::string& out);

}  // namespace plumb::methods
