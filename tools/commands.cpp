// The table of subcommands.
#include "tools/commands.h"

#include <array>

namespace plumb::tools {

extern const Command data_command, info_command;

std::span<const Command* const> commands() {
  static constexpr std::array table{&data_command, &info_command};
  return table;
}

}  // namespace plumb::tools
