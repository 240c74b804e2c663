// report.html: what a run was, how its loss fell, and what it makes.
#pragma once
#include <string>

#include "models/train/run_directory.h"

namespace plumb::train {

/// Writes report.html into the run from its config.json and metrics.jsonl: one page without scripts or links, that opens anywhere.
/// `samples` is text the model wrote (may be empty). Throws IoError.
void write_report(const RunDirectory& run, const std::string& samples);

}  // namespace plumb::train
