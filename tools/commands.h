// The subcommands of `plumb`. A new one is a file that defines a Command, and a line in the table of commands.cpp.
#pragma once
#include <functional>
#include <span>
#include <string>

namespace CLI {
class App;
}

namespace plumb::tools {

/// What a command does once its options are parsed; returns the exit code. A plumb::Error becomes one line on stderr and exit code 2.
using Action = std::function<int()>;

/// const Command sample_command{"sample", "generate text from a trained run", [](CLI::App& app) -> Action {
///   auto o = std::make_shared<Options>();
///   app.add_option("run", o->run, "run directory")->required();
///   return [o] { return sample(*o); };
/// }};
struct Command {
  const char* name;
  const char* help;  ///< one line, lower case, no full stop
  Action (*define)(CLI::App& app);
};

/// Makes `app` take exactly one of `commands` as its subcommand; the action runs the chosen one. For `plumb data fetch` and the like.
Action choose(CLI::App& app, std::span<const Command* const> commands);

/// All commands, in the order of `plumb --help`.
std::span<const Command* const> commands();

/// The whole program: parses, runs, and turns errors into one line `plumb: <command>: message` on stderr. Returns the exit code:
/// 0, what the action returned, 2 for bad input and anything the machine refused, 1 for a defect of the program.
int run(int argc, const char* const* argv);

}  // namespace plumb::tools
