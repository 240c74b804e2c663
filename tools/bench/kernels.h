// Single kernels, by the program of bench/: each beside its ceiling and beside other libraries.
#pragma once
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "engine/io/json_object.h"

namespace plumb::tools {

struct KernelSettings {
  std::vector<std::string> only;     ///< kernels, or their beginnings with a star ("conv*"); all if empty
  std::vector<std::string> against;  ///< plain, openblas, onednn, torch
  std::string python;                ///< of torch
  std::string binary;                ///< plumb_bench; if empty, the one beside this program
  std::string device = "cpu";
  int64_t rounds = 5;
  double seconds = 0.05;             ///< spent on each row, a round
};

/// One row of one round.
struct KernelTime {
  std::string name;                  ///< "softmax/1024x1024/f32/plumb": kernel, shape, type, side
  double seconds = 0, bytes = 0, flops = 0;
};
/// What plumb_bench printed as JSON. Throws ConfigError, naming it, if that is not what it should be.
std::vector<KernelTime> parse_kernel_times(const std::string& json);

/// What the machine did at most: the fastest copies, by the bytes they move, and the fastest product of each type, whoever computed it.
struct Ceilings {
  std::map<double, double> copy;            ///< bytes moved → bytes a second
  std::map<std::string, double> product;    ///< type → operations a second
  void see(const KernelTime& t);
  /// Of the copy that moves about as many bytes: few stay in a cache.
  double bandwidth(double bytes) const;
  double product_rate(const std::string& type) const;
};

/// Rows of all rounds: "ceiling" rows first, then "kernels" rows in the order of their names' first appearance, sides of one kernel
/// together.
std::vector<JsonObject> kernel_rows(const std::vector<std::vector<KernelTime>>& rounds, const std::string& device,
                                    const std::map<std::string, std::string>& peers);

/// Runs all rounds. Throws ConfigError where plumb_bench is missing (naming how it is built), for an unknown kernel or peer, and where a
/// peer's Python has no PyTorch.
std::vector<JsonObject> time_kernels(const KernelSettings& settings);

}  // namespace plumb::tools
