// The subcommands of `plumb`. A new one is a file that defines a Command, and a line in the table of commands.cpp.
#pragma once
#include <functional>
#include <span>
#include <string>

#include "tools/command_line.h"

namespace plumb::tools {

/// What a command does once its options are parsed; returns the exit code. A plumb::Error becomes one line on stderr and exit code 2.
using Action = std::function<int()>;

/// const Command sample_command{"sample", "generate text from a trained run", [](CommandLine& line) -> Action {
///   auto o = std::make_shared<Options>();
///   line.required("run", o->run, "run directory");
///   return [o] { return sample(*o); };
/// }};
struct Command {
  const char* name;
  const char* help;  ///< one line, lower case, no full stop
  Action (*define)(CommandLine& line);
};

/// Makes `line` take exactly one of `commands` as its subcommand; the action runs the chosen one. For `plumb data fetch` and the like.
Action choose(CommandLine& line, std::span<const Command* const> commands);

/// All commands, in the order of `plumb --help`.
std::span<const Command* const> commands();
/// Why a command may be missing, to be said after its name; empty in a whole build.
std::string left_out();

/// The whole program: parses, runs, and turns errors into one line `plumb: <command>: message` on stderr. Returns the exit code:
/// 0, what the action returned, 2 for bad input and anything the machine refused, 1 for a defect of the program.
int run(int argc, const char* const* argv);

}  // namespace plumb::tools
