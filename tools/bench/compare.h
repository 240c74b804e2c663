// Several sides on one workload, by turns.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "engine/io/json_object.h"
#include "tools/bench/peers.h"

namespace plumb::tools {

struct CompareSettings {
  int64_t rounds = 7, steps = 3;  ///< each side does so many steps a round
  int64_t warmup = 3;
  int64_t threads = 0;            ///< of each side; 0: num_threads()
  std::string size = "small", device = "cpu", dtype = "f32";
  std::string winograd = "2x2";  ///< of our own side (tools/cli/winograd_option.h)
  bool capture = false;           ///< of our own side
};

/// What a side said and took.
struct SideResult {
  std::string name;
  JsonObject about, ending;       ///< its first line, and its last: losses and memory
  std::vector<double> medians;    ///< seconds a step, of each round
  std::vector<double> calls;      ///< ours, on a GPU: until the call came back that starts a step, its kernels still running
  std::vector<double> queued;     ///< and seconds a step where none is waited for before the next is started
  std::string problem;            ///< not empty: it could not be measured, and why
};

/// Starts every side in a process of its own and lets them take turns, in another order each round, so that drift of the machine meets
/// all alike. A side that fails has a `problem`; the others go on.
std::vector<SideResult> compare(const std::string& work, const std::vector<Side>& sides, const CompareSettings& settings);

/// Floating-point operations a second of the fastest product on this device, of f32 on a CPU and of the compared type on a GPU, best of
/// `rounds` of all sizes that are tried; 0 if it could not be measured. To be asked between comparisons, when the machine is as it was for
/// them.
double fastest_product(int64_t rounds, const CompareSettings& settings);

/// Seconds from the start of a side's process to the end of its first step, so many times. Throws ConfigError if it fails.
std::vector<double> start_times(const std::string& work, const Side& side, const CompareSettings& settings);

/// The rows of one comparison for people and machines, ours first: its own figures, and of peers how ours compare.
/// `ceiling`: floating-point operations a second of the fastest product, or 0.
std::vector<JsonObject> comparison_rows(const std::string& bench, const std::vector<SideResult>& results, double ceiling);

}  // namespace plumb::tools
