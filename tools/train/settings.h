// What every `plumb train KIND` has in common: its options, their checks, how a run starts and how it goes on.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include "engine/io/json_object.h"
#include "models/nn/module.h"
#include "models/optim/optimizer.h"
#include "models/optim/schedule.h"
#include "models/require.h"
#include "models/train/run_directory.h"
#include "models/train/trainer.h"
#include "tools/commands.h"

namespace plumb::tools {

/// Defaults are those of `train gpt`; a kind sets its own before it defines the options.
struct TrainingSettings {
  int64_t batch = 12, steps = 2000, warmup = 100, eval_every = 250, checkpoint_every = 500, accumulate = 1, early_stop = 0;
  double lr = 1e-3, min_lr = 1e-4, weight_decay = 0.1, beta1 = 0.9, beta2 = 0.99, momentum = 0.9, clip = 1, ema = 0;
  uint64_t seed = 0;
  std::string optimizer = "adamw", device = "cpu", dtype = "f32", winograd = "2x2";
  bool recompute = false, capture = false, shard_optimizer = false, no_events = false, no_histograms = false;

  /// Adds --batch, --steps, --lr, …; `items` is what --batch counts ("sequences", "images").
  void define(CommandLine& line, const std::string& items);
  /// Throws ConfigError naming the option that is out of range, DeviceError for a device that this build does not have.
  void check() const;

  /// AdamW or SGD with Nesterov momentum; weight decay on matrices and kernels only, not on biases and norms.
  std::unique_ptr<optim::Optimizer> make_optimizer(const nn::Module& model) const;
  /// The same with its state shared out over the processes of `buckets`.
  std::unique_ptr<optim::Optimizer> make_sharded_optimizer(const nn::Module& model, parallel::GradientBuckets& buckets) const;
  /// Linear warm-up, then by cosine to min_lr.
  optim::Schedule schedule() const;
  /// `items_per_step`, called `items`, are what the rate in metrics counts.
  train::TrainOptions train_options(double items_per_step, const std::string& items) const;
  /// Trains `model`, prepared before, with these settings' optimiser, schedule and autocast around the loss; `training` says the rest.
  /// `adapt` may give the optimiser hooks before the first step.
  int train_model(const train::RunDirectory& run, nn::Module& model, train::Training training, double items_per_step,
                  const std::string& items, const std::function<void(optim::Optimizer&)>& adapt = {}) const;
  /// What products are computed in: bf16 and f16 under --dtype bf16 and f16, else f32 (which turns autocast off).
  DType autocast_type() const { return dtype == "bf16" ? bf16 : dtype == "f16" ? f16 : f32; }
  /// --device (under mpirun `cuda` is a GPU for each process of a machine): where the model is and what it is given must go; the CPU where
  /// there is no such device, so that a run that was trained on a GPU can be measured anywhere. What is drawn for a model is drawn on the
  /// CPU, so that it is the same.
  Device place() const;
  /// Converts the model for --dtype f64 and moves it to --device; to be called before the optimiser is made.
  void prepare(nn::Module& model) const;

  /// As entries of a run's config.json.
  void set(JsonObject& json) const;
  /// What is missing stays as it is.
  void read(const JsonObject& json);
};

/// Adds --out and --resume, the last of a kind's options, and gives its action: `start` with the run directory to make, which does not
/// exist, or `resume` with one whose run is not finished (a finished one is said to be so). Throws ConfigError for --resume beside others,
/// a missing --out or one that exists, and a run of another kind.
Action start_or_resume(CommandLine line, const std::string& kind, std::function<int(const std::string& out)> start,
                       std::function<int(const train::RunDirectory& run)> resume);

/// The "kind" in the run's config.json; empty if it has none.
std::string kind_of(const train::RunDirectory& run);

}  // namespace plumb::tools
