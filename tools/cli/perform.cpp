// One command without a shell around it.
#include "tools/cli/perform.h"

#include <CLI/CLI.hpp>
#include <algorithm>

#include "engine/core/error.h"

namespace plumb::tools {

int perform_command(const Command& command, std::vector<std::string> arguments) {
  CLI::App app(command.help, command.name);
  CommandLine line(app);
  Action action = command.define(line);
  std::ranges::reverse(arguments);  // which is how that library takes them
  try {
    app.parse(std::move(arguments));
  } catch (const CLI::ParseError& error) {
    throw ConfigError(std::string(command.name) + ": " + error.what());
  }
  return action();
}

}  // namespace plumb::tools
