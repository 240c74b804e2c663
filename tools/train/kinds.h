// The kinds of models that `plumb train` knows. A new one is a file in tools/train/ that defines a TrainingKind, and its name in the list
// of kinds.cpp.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "models/train/run_directory.h"
#include "tools/commands.h"

namespace plumb::tools {

struct TextRun;  // tools/language_model.h

/// What `plumb predict` was asked.
struct PredictRequest {
  std::string data;   ///< a CSV file; empty: the run's own
  int64_t steps = 0;  ///< how many values; 0: as many as the run predicts at once
  std::string out;    ///< file to write; empty: standard output
};

struct TrainingKind {
  /// `plumb train NAME`: its name is the "kind" in config.json.
  Command command;
  /// `plumb eval RUN [--data …]`: prints one JSON object of measures; returns the exit code. Null: such runs are not evaluated.
  int (*evaluate)(const train::RunDirectory& run, const std::vector<std::string>& data) = nullptr;
  /// What the run's config.json says, for runs that train language models; null for others.
  std::unique_ptr<TextRun> (*text_run)(const train::RunDirectory& run) = nullptr;
  /// `plumb predict RUN`: writes what the run predicts as CSV; returns the exit code. Null: such runs do not predict.
  int (*predict)(const train::RunDirectory& run, const PredictRequest& request) = nullptr;
};

/// In the order of `plumb train --help`.
std::span<const TrainingKind* const> training_kinds();
/// The kind of the run. Throws ConfigError for a kind that is not known.
const TrainingKind& kind_of_run(const train::RunDirectory& run);

}  // namespace plumb::tools
