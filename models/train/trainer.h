// The training loop that all training binaries share: steps, evaluation, checkpoints, metrics, interruption.
#pragma once
#include <functional>
#include <string>

#include "models/nn/module.h"
#include "models/optim/optimizer.h"
#include "models/train/run_directory.h"

namespace plumb::train {

struct TrainOptions {
  int64_t steps = 2000;
  int64_t eval_every = 250;        ///< steps between evaluations; the last step is always evaluated; 0: only then
  int64_t checkpoint_every = 500;  ///< steps between checkpoints; 0: only when interrupted
  double clip_norm = 1;            ///< gradients are scaled to at most this global norm; 0: not
  double items_per_step = 1;       ///< for the rate in metrics
  std::string items = "tokens";    ///< what is counted: "tokens" or "images"
};

/// What is trained. Everything that changes during training is in the module, the optimiser and the default generator; what a step
/// reads depends on the step's number alone.
struct Training {
  nn::Module* model;
  optim::Optimizer* optimizer;
  std::function<double(int64_t step)> schedule;       ///< factor of the optimiser's learning rates at step 0, 1, …
  std::function<Tensor(int64_t step)> loss;           ///< the scalar to minimise at that step
  std::function<double()> validate;                   ///< the validation loss; may be empty
  std::function<std::string()> sample;                ///< text for the report; may be empty
};

/// Trains from the newest checkpoint of `run` (or from the start) to the last step, writing metrics.jsonl, event files, checkpoints, the
/// final model and report.html. SIGINT and SIGTERM finish the step and save. Returns the exit code: 0, or 130 and 143 when interrupted.
/// A loss or gradient that is not finite throws ValueError, naming the step and the operation that made it; nothing of that step is kept.
int train(const RunDirectory& run, const Training& training, const TrainOptions& options);

}  // namespace plumb::train
