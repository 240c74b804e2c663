// Looking into the next steps of a run.
#pragma once
#include <string>

#include "models/train/step_probe.h"

namespace plumb::tools {

/// Whether `name`, which is none of step_model_names(), is a directory with a run.
bool is_run(const std::string& name);
/// Throws ConfigError unless it is, or one of these names.
void check_model_or_run(const std::string& name);
/// Goes on with the run, finished or not, under the eyes of `probe`; nothing of the run changes. Throws what `--resume` throws.
void probe_run(const std::string& run, train::StepProbe& probe);

}  // namespace plumb::tools
