// The headline workloads: whole training steps, timed.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace plumb::tools {

struct StepTiming {
  std::string work;             ///< "gpt-small", "moe-small", "unet-small", "resnet18-small", "tiny"
  int64_t params = 0;
  double step_s = 0;            ///< median over the timed steps, after warm-up
  double items_per_s = 0;
  std::string items = "tokens";
  int64_t peak_mib = 0;         ///< largest resident memory of the process
  int64_t over_start_mib = 0;   ///< of that, beyond what the process had before the model was built
  double ns_per_op = 0;         ///< tiny: nanoseconds an element-wise operation on 4×4 tensors, forward and backward
};

/// The workloads there are.
std::vector<std::string> step_workloads();
/// Runs one: forward, loss, backward, AdamW, three steps to warm up and `steps` timed. Throws ConfigError for an unknown name.
StepTiming time_steps(const std::string& work, int64_t steps);

}  // namespace plumb::tools
