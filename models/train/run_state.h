// What a checkpoint holds of a run: weights, optimisers, their average, the generator, and how the evaluations went.
#pragma once
#include <optional>
#include <vector>

#include "models/nn/module.h"
#include "models/optim/grad_scaler.h"
#include "models/optim/optimizer.h"
#include "models/parallel/sharded_parameters.h"
#include "models/train/early_stopping.h"
#include "models/train/run_directory.h"
#include "models/train/weight_average.h"

namespace plumb::train {

/// The parts of a run that change from step to step. Beside them checkpoints hold the default generator.
struct RunState {
  nn::Module& model;
  std::vector<optim::Optimizer*> optimizers;
  parallel::ShardedParameters sharded;  ///< those of which this process has its rows alone
  EarlyStopping stopping;
  std::optional<WeightAverage> average;
  std::optional<optim::GradScaler> scaler;

  /// Of rows that the processes share out, all in one, and this process's own of them.
  StateDict whole(StateDict own) const { return sharded.whole(model, std::move(own)); }
  StateDict own(const StateDict& whole) const { return sharded.own(model, whole); }

  /// All of it after `step` steps, with the default generator.
  Checkpoint checkpoint(int64_t step) const;
  /// Everything as it was at the checkpoint. Throws IoError for a value that is missing or no number, and as the parts' load_state.
  void restore(const Checkpoint& checkpoint);
};

}  // namespace plumb::train
