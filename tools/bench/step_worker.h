// One side of a comparison: a process that holds one workload and does steps of it when it is told to. Peers are such processes too.
#pragma once
#include <string>
#include <vector>

#include "engine/core/device.h"
#include "engine/core/dtype.h"
#include "tools/step_model.h"

namespace plumb::tools {

struct WorkerSettings {
  std::string work;             ///< one of step_workloads(), or of overhead_workloads(), or "sgemm"
  StepSize size = StepSize::small;
  Device device = cpu;
  std::string dtype = "f32";    ///< tf32; bf16 and f16: of products (autocast)
  int64_t warmup = 3;           ///< steps before the first turn
  bool capture = false;         ///< the step recorded once and replayed (engine/core/capture.h)
};

/// Whole training steps: gpt, moe, unet, resnet; forward, loss, backward, AdamW.
std::vector<std::string> step_workloads();
/// What an operation costs beside its arithmetic, on 4×4 matrices: tiny (forward and backward), tiny-recorded, tiny-forward, tiny-views.
std::vector<std::string> overhead_workloads();

/// Speaks the protocol of bench/README.md on standard input and output: a line about the workload once it is warm, then for every line
/// with a number so many steps and a line with their times, and at the end of the input a line on losses and memory. Returns the exit code.
/// The work "sgemm" is the ceiling: its times are answered as floating-point operations a second, of square f32 products of 1024 to 4096.
/// Throws ConfigError for an unknown work, or where the loss is not finite at the end.
int step_worker(const WorkerSettings& settings);

}  // namespace plumb::tools
