// The runs of `plumb finetune`: what config.json holds, and training by what the base predicts.
#pragma once
#include "tools/finetune/adapter.h"
#include "tools/finetune/base.h"

namespace plumb::tools {

/// A directory of such a run has the trained adapters alone as model.safetensors, for those that start from the weights' singular values
/// with what they took ("start_up", "start_down").
struct FinetuneRun {
  std::string base, base_kind, base_sha256;  ///< absolute path; the kind; weights_sha256 of its module
  std::vector<std::string> data, keep;       ///< absolute paths, "digits" or "digit-pairs"
  std::string data_sha256, keep_sha256;
  int64_t context = 0;  ///< tokens a window; 0: the base's
  AdapterSettings adapter;
  TrainingSettings training;

  FinetuneRun();
  std::string to_json() const;
  static FinetuneRun from_json(const std::string& json);
  /// Throws ConfigError naming the option that is out of range.
  void check() const;
};

/// Trains, or goes on: with base and data as they are. A new run's data_sha256 and keep_sha256 are filled in by `describe`.
/// Throws ConfigError for data that changed since, or that does not fit the base.
void describe_text(FinetuneRun& run);
void describe_images(FinetuneRun& run, const Base& base);
void describe_pairs(FinetuneRun& run, const Base& base);
/// Whether the described texts are of the base's tokens, and long enough.
void check_text(const FinetuneRun& run, const Base& base, const LanguageModel& model);
int tune_text(const train::RunDirectory& directory, const FinetuneRun& run, const Base& base);
int tune_images(const train::RunDirectory& directory, const FinetuneRun& run, const Base& base);
int tune_pairs(const train::RunDirectory& directory, const FinetuneRun& run, const Base& base);

/// Trains what `tuning` added; `items_per_step` and `items` as TrainingSettings::train_model.
int train_adapters(const train::RunDirectory& directory, const FinetuneRun& run, Tuning& tuning, train::Training training,
                   double items_per_step, const std::string& items);

/// Throws ConfigError unless the base's weights are those that the run began with.
void check_base(const FinetuneRun& run, const nn::Module& module);

}  // namespace plumb::tools
