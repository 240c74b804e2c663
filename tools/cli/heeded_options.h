// Options that some modes of a command do not heed: given there, they are refused, since whoever gave them expects something of them.
#pragma once
#include <string>
#include <vector>

#include "tools/command_line.h"

namespace plumb::tools {

/// Options that belong together, and whether what was chosen heeds them.
struct HeededOptions {
  std::vector<const char*> names;
  bool heeded = true;
  std::string why;  ///< they are not: "only --model vqvae has a codebook"
};

/// Throws ConfigError for the first option that was given and is not heeded: "--codes: only --model vqvae has a codebook; leave it out".
void refuse_unheeded(const CommandLine& line, const std::vector<HeededOptions>& options);

/// The word that an option holds, given or by default; to be asked in the action.
std::string word_of(CommandLine line, const char* name);

}  // namespace plumb::tools
