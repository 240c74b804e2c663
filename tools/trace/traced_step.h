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
  std::string about;  ///< "gpt-small on cpu: 10768896 parameters, 2048 tokens a step"
};

/// Steps with AdamW: forward, zero_grad, backward, optimizer. Blocks of parameters, gradients and the optimiser's state have their names.
/// Throws as make_step_model.
TracedSteps trace_steps(const TraceSettings& settings);

}  // namespace plumb::tools
