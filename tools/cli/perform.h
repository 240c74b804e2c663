// A command performed by another.
#pragma once
#include <string>
#include <vector>

#include "tools/commands.h"

namespace plumb::tools {

/// Parses `arguments` as the command's own and performs it; returns its exit code. Throws what the command throws, ConfigError for
/// arguments that it does not take.
int perform_command(const Command& command, std::vector<std::string> arguments);

}  // namespace plumb::tools
