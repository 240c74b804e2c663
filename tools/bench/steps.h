// The headline workloads: whole training steps, timed.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "engine/core/device.h"
#include "engine/core/dtype.h"

namespace plumb::tools {

struct StepSettings {
  int64_t steps = 7;      ///< timed, after three to warm up
  Device device = cpu;
  DType dtype = f32;      ///< bf16 and f16: of products (autocast)
  bool large = false;     ///< GPT-2 with 124 M parameters and batches for a GPU, instead of sizes for a CPU
  bool capture = false;   ///< the step recorded once and replayed (engine/core/capture.h)
};

struct StepTiming {
  std::string work;             ///< "gpt-small", "moe-small", "unet-small", "resnet18-small", "tiny"; "gpt-gpt2", … (tools/step_model.h)
  int64_t params = 0;
  double step_s = 0;            ///< median over the timed steps, after warm-up
  double items_per_s = 0;
  std::string items = "tokens";
  int64_t peak_mib = 0;         ///< largest resident memory of the process, or of tensors on a GPU
  int64_t over_start_mib = 0;   ///< of that, beyond what there was before the model was built
  double ns_per_op = 0;         ///< tiny: nanoseconds an element-wise operation on 4×4 tensors, forward and backward
};

/// The workloads there are.
std::vector<std::string> step_workloads();
/// Runs one: forward, loss, backward, AdamW. Throws ConfigError for an unknown name.
StepTiming time_steps(const std::string& work, const StepSettings& settings);

}  // namespace plumb::tools
