// What a checkpointed region shares with the tensors that its operations would have saved.
#pragma once
#include <functional>
#include <vector>

#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb {

struct CheckpointFrame {
  std::function<void()> run;  ///< the region, its outputs ignored
  Generator generator;
  DType autocast = DType::f32;
  size_t dropped = 0;          ///< saved tensors that were left out in the first run
  bool recomputed = false;
  std::vector<Tensor> values;  ///< what the second run saved, in the same order

  /// Runs the region again, once. Throws AutogradError if it saves another number of tensors than the first time.
  void recompute();
};

/// What SavedTensor does on this thread now: keep tensors (no frame), leave them out, or hand them to the frame.
struct CheckpointContext {
  std::shared_ptr<CheckpointFrame> frame;
  bool collecting = false;
  bool again = false;  ///< within a second run, also in regions inside it
};
CheckpointContext& checkpoint_context();

}  // namespace plumb
