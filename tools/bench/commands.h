// The commands under `plumb bench`, and the parts that `plumb bench all` puts together.
#pragma once
#include "tools/bench/compare.h"
#include "tools/bench/report.h"
#include "tools/commands.h"

namespace plumb::tools {

extern const Command bench_steps_command, bench_overhead_command, bench_memory_command, bench_worker_command;

struct StepsOptions {
  std::string bench;                       ///< steps, overhead or memory
  std::vector<std::string> only, against;
  std::string python;
  CompareSettings compare;
  bool profile = false;                    ///< of steps: where their time goes, in place of a comparison
};
/// Throws ConfigError for what is unknown or out of range, before anything is measured.
void check_steps(const StepsOptions& options);
/// Measures and reports. Throws ConfigError where a side fails.
void run_steps(const StepsOptions& options, BenchReport& report);

}  // namespace plumb::tools
