// The training loop that all training binaries share: steps, evaluation, checkpoints, metrics, interruption.
#pragma once
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "models/nn/module.h"
#include "models/optim/optimizer.h"
#include "models/parallel/gradient_buckets.h"
#include "models/train/recorder.h"
#include "models/train/run_directory.h"

namespace plumb::train {

struct TrainOptions {
  int64_t steps = 2000;
  int64_t eval_every = 250;        ///< steps between evaluations; the last step is always evaluated; 0: only then
  int64_t checkpoint_every = 500;  ///< steps between checkpoints; 0: only when interrupted
  double clip_norm = 1;            ///< gradients are scaled to at most this global norm; 0: not
  int64_t accumulate = 1;          ///< parts of a step's batch, each with a backward pass of its own: less memory, the same gradient
  double ema = 0;                  ///< decay of averaged weights, which are then what is evaluated, sampled and saved in the end; 0: none
  int64_t patience = 0;            ///< evaluations without improvement after which the run ends with its best weights; 0: never
  bool capture = false;  ///< on a GPU, forward and backward passes are recorded and replayed (engine/core/capture.h); needs Training::batch
  bool scale_loss = false;         ///< for f16: the loss is scaled (optim::GradScaler), and a step whose gradients overflow is left out
  double items_per_step = 1;       ///< for the rate in metrics
  std::string items = "tokens";    ///< what is counted: "tokens" or "images"
  RecorderOptions record = {};     ///< what is written beside metrics
};

/// One of the equal parts of a step's batch.
struct Part {
  int64_t step;
  int64_t index = 0, count = 1;  ///< this part's place among so many
};

/// Measured numbers under their names, in the order of report and metrics.
using Measures = std::vector<std::pair<std::string, double>>;

/// What is trained. Everything that changes during training is in the module, the optimisers and the default generator; what a step
/// reads depends on the step's number alone. validate, test, sample and images are called in evaluation mode, without recording, with the
/// averaged weights if there are any; what they draw from the default generator is given back.
struct Training {
  nn::Module* model;
  optim::Optimizer* optimizer;
  std::function<double(int64_t step)> schedule;   ///< factor of the optimiser's learning rates at step 0, 1, …
  std::function<Tensor(const Part& part)> loss;   ///< the scalar to minimise: the mean over that part of the step's batch
  /// In place of `loss`, where what is drawn and read on the host can be told from what the device does: the part's inputs, of the same
  /// shapes in every step, and the loss of such inputs on the model's device, which the host neither waits for nor has a hand in.
  std::function<std::vector<Tensor>(const Part& part)> batch = {};
  std::function<Tensor(const std::vector<Tensor>& inputs)> loss_of = {};
  std::function<Measures()> validate = {};        ///< "val_loss", "val_accuracy", …; may be empty
  std::function<Measures()> test = {};            ///< "test_accuracy", …, once, with the final weights; may be empty
  std::function<std::string()> sample = {};       ///< text for the report; may be empty
  std::function<Tensor()> images = {};            ///< [n, C, H, W] in [0, 1], after every validation, to samples/step-N.png; may be empty
  std::string images_title = "Samples";           ///< what they show, for the report
  std::string watched = "val_loss";               ///< the measure whose improvement early stopping waits for
  bool watched_highest = false;                   ///< whether larger is better
  /// For what alternates between optimisers (a GAN): a whole step of its own, which takes the place of `loss`, the clipping and the
  /// optimiser's step. Returns numbers for metrics, the first of them the loss that is shown; TrainOptions' clip_norm and accumulate are
  /// its own affair.
  std::function<Measures(int64_t step)> step = {};
  /// Between several processes: sums the gradients of the model's parameters. Null: made by train(), every process keeping all of the
  /// optimiser's state.
  parallel::GradientBuckets* buckets = nullptr;
  std::vector<optim::Optimizer*> more_optimizers = {};  ///< beside `optimizer`, for `step`: scheduled and kept in checkpoints as it is
};

/// Trains from the newest checkpoint of `run` (or from the start) to the last step, writing metrics.jsonl, histograms.jsonl, event files,
/// samples, checkpoints, the final model and report.html. The peak of memory_stats of the model's device is set anew at every step. SIGINT,
/// SIGTERM and SIGHUP finish the step and save. Returns the exit code: 0, or 130, 143 and 129 when interrupted. Throws ConfigError while
/// another trains it. A loss or gradient that is not finite throws ValueError, naming the step and the operation that made it; nothing of
/// that step is kept.
///
/// The processes of dist::world() train together: a step's batch has accumulate × size parts, of which each computes `accumulate`, and
/// the gradients are averaged, so that the weights are those of one process with as many parts, up to rounding. What is drawn within a part
/// depends on its step and its place alone. All evaluate alike; the first writes. If one is lost, the survivors save the last whole step
/// (where the optimiser's state is shared out, its last checkpoint counts) and dist::ProcessLost says so. Throws ConfigError for `step` and
/// for capture there.
int train(const RunDirectory& run, const Training& training, const TrainOptions& options);

}  // namespace plumb::train
