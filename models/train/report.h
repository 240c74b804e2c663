// report.html: what a run was, how its loss fell, and what it makes.
#pragma once
#include <string>

#include "models/train/run_directory.h"

namespace plumb::train {

struct ReportParts {
  std::string text = {};         ///< what the model wrote
  std::string images_title = {}; ///< what the pictures in samples/ show
};

/// Writes report.html into the run from its config.json, metrics.jsonl and the pictures in samples/ (some of them, the newest always): one
/// page without scripts or links, that opens anywhere. Throws IoError.
void write_report(const RunDirectory& run, const ReportParts& parts);

}  // namespace plumb::train
