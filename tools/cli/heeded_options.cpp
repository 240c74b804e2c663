// Which options were given for nothing.
#include "tools/cli/heeded_options.h"

#include <CLI/CLI.hpp>

#include "engine/core/error.h"

namespace plumb::tools {

void refuse_unheeded(const CommandLine& line, const std::vector<HeededOptions>& options) {
  for (const HeededOptions& some : options)
    for (const char* name : some.names)
      if (!some.heeded && line.given(name)) throw ConfigError(std::string(name) + ": " + some.why + "; leave it out");
}

std::string word_of(CommandLine line, const char* name) { return line.app().get_option(name)->as<std::string>(); }

}  // namespace plumb::tools
