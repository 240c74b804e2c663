// The table of subcommands.
#include "tools/commands.h"

#include <array>

namespace plumb::tools {

extern const Command info_command;

std::span<const Command* const> commands() {
  static constexpr std::array table{&info_command};
  return table;
}

}  // namespace plumb::tools
