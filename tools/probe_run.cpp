// Resumes a run through its own train command, as a user would.
#include "tools/probe_run.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/core/error.h"
#include "engine/io/file.h"
#include "tools/cli/perform.h"
#include "tools/step_model.h"
#include "tools/train/kinds.h"
#include "tools/train/settings.h"

namespace plumb::tools {

extern const Command finetune_command;

namespace {

bool is_model(const std::string& name) { return std::ranges::count(step_model_names(), name) > 0; }

class ProbeScope {
 public:
  explicit ProbeScope(train::StepProbe& probe) { train::set_step_probe(&probe); }
  ~ProbeScope() { train::set_step_probe(nullptr); }
  ProbeScope(const ProbeScope&) = delete;
  ProbeScope& operator=(const ProbeScope&) = delete;
};

const Command& command_of(const std::string& path) {
  auto run = train::RunDirectory::open(path);
  return kind_of(run) == finetune_command.name ? finetune_command : kind_of_run(run).command;
}

}  // namespace

bool is_run(const std::string& name) { return !is_model(name) && path_exists(name + "/config.json"); }

void check_model_or_run(const std::string& name) {
  if (!is_model(name) && !is_run(name))
    throw ConfigError(fmt::format("{} is neither a run directory (it has no config.json) nor one of the models {}", name,
                                  fmt::join(step_model_names(), ", ")));
}

void probe_run(const std::string& run, train::StepProbe& probe) {
  ProbeScope scope(probe);
  perform_command(command_of(run), {"--resume", run});
}

}  // namespace plumb::tools
