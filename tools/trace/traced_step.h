// Recording training steps of a model.
#pragma once
#include <cstdint>

#include "engine/core/dtype.h"
#include "tools/step_model.h"
#include "tools/trace/recorder.h"

namespace plumb::tools {

struct TraceSettings {
  std::string model = "gpt";
  StepSize size = StepSize::small;
  Device device = cpu;
  DType dtype = f32;       ///< bf16 and f16: of products (autocast)
  int64_t warmup = 1;      ///< steps before the recording
  int64_t steps = 1;       ///< recorded
};

struct TracedSteps {
  Trace trace;
  std::string about;  ///< "gpt-small on cpu, 2 threads: 10768896 parameters, 2048 tokens a step"
};

/// The next steps of a run of `plumb train` or `plumb finetune`, from its newest checkpoint, on its own data and with its own settings;
/// nothing of the run changes. In processes that work together each records its own. Throws as RunDirectory::open, and what going on with
/// the run throws.
TracedSteps trace_run(const std::string& run, int64_t warmup, int64_t steps);

/// Steps with AdamW: forward, zero_grad, backward, optimizer. Blocks of parameters, gradients and the optimiser's state have their names.
/// Throws as make_step_model.
TracedSteps trace_steps(const TraceSettings& settings);

}  // namespace plumb::tools
