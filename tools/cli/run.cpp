// Parsing the command line, running the chosen command, and reporting errors in one line.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <memory>
#include <new>
#include <plumb/version.h>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "engine/core/error.h"
#include "engine/dist/world.h"
#include "tools/cli/edit_distance.h"
#include "tools/cli/printable.h"
#include "tools/commands.h"

namespace plumb::tools {
namespace {

/// The words that lead to the innermost command given: "data fetch"; empty for none.
std::string command_path(const CLI::App& root) {
  std::string path;
  for (const CLI::App* app = &root; !app->get_subcommands().empty();) {
    app = app->get_subcommands().front();
    path += (path.empty() ? "" : " ") + app->get_name();
  }
  return path;
}

CLI::App& innermost(CLI::App& root) {
  CLI::App* app = &root;
  while (!app->get_subcommands().empty()) app = app->get_subcommands().front();
  return *app;
}

/// The option or command of `app` most like `word`, or empty if none is close.
std::string closest(const CLI::App& app, const std::string& word) {
  std::vector<std::string> known;
  for (const CLI::Option* option : app.get_options())
    for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
  for (const CLI::App* sub : app.get_subcommands({})) known.push_back(sub->get_name());
  std::string best;
  size_t least = std::min(word.size() / 2, std::max<size_t>(2, word.size() / 3)) + 1;
  for (const std::string& candidate : known) {
    if (candidate.starts_with("-") != word.starts_with("-")) continue;
    size_t distance = edit_distance(word, candidate);
    if (distance < least) {
      least = distance;
      best = candidate;
    }
  }
  return best;
}

std::string names_of_commands(const CLI::App& app) {
  std::string names;
  for (const CLI::App* sub : app.get_subcommands({})) names += (names.empty() ? "" : ", ") + sub->get_name();
  return names;
}

std::string one_line(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return printable(std::move(text));
}

int fail(const std::string& path, std::string message, int code = 2) {
  message = one_line(std::move(message));
  if (!path.empty() && !message.starts_with(path + ": ")) message = path + ": " + message;
  dist::Communicator& processes = dist::world();
  if (processes.size() == 1) {
    std::fflush(stdout);
    std::fprintf(stderr, "plumb: %s\n", message.c_str());
    return code;
  }
  // What all processes meet, the first says, and ends them. What one meets alone it says itself.
  if (processes.rank() > 0) std::this_thread::sleep_for(std::chrono::milliseconds(500));
  dist::say_anyway(
      "plumb: " + message +
      (processes.rank() > 0 ? " (process " + std::to_string(processes.rank()) + " of " + std::to_string(processes.size()) + ")" : ""));
  processes.abandon(code);
  return code;
}

/// What is wrong with the command line, and the way out.
std::string usage_message(CLI::App& root, const CLI::ParseError& error) {
  CLI::App& app = innermost(root);
  std::string path = command_path(root), what = error.what();
  std::vector<std::string> left = root.remaining(true);
  bool takes_commands = !app.get_subcommands({}).empty(), unknown = dynamic_cast<const CLI::ExtrasError*>(&error);
  if (takes_commands && dynamic_cast<const CLI::RequiredError*>(&error)) {
    unknown = !left.empty();
    if (!unknown) what = "a command is missing: one of " + names_of_commands(app);
  }
  if (unknown && !left.empty()) {
    std::string word = left.front().substr(0, left.front().find('='));
    what = (word.starts_with("-") ? "unknown option " : takes_commands ? "unknown command " : "unexpected argument ") + word;
    if (std::string near = closest(app, word); !near.empty()) what += ", did you mean " + near + "?";
    else if (takes_commands && !word.starts_with("-")) what += left_out();
  }
  return what + " (see plumb " + (path.empty() ? "" : path + " ") + "--help)";
}

int perform(const Action& action, const std::string& path) {
  try {
    int code = action();
    if (std::fflush(stdout) != 0 || std::ferror(stdout)) return fail(path, "standard output cannot be written");
    return code;
  } catch (const Error& e) {
    return fail(path, e.what());
  } catch (const std::system_error& e) {  // std::filesystem's errors among them
    return fail(path, e.what());
  } catch (const std::bad_alloc&) {
    return fail(path, "out of memory");
  } catch (const std::exception& e) {
    return fail(path, std::string("internal error: ") + e.what(), 1);
  }
}

int parse_failed(CLI::App& root, const CLI::ParseError& error) {
  bool answered = error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success);  // --help and --version
  if (answered) return perform([&] { return root.exit(error); }, command_path(root));
  return fail(command_path(root), usage_message(root, error));
}

}  // namespace

Action choose(CommandLine& line, std::span<const Command* const> commands) {
  auto chosen = std::make_shared<Action>();
  for (const Command* command : commands) {
    CLI::App* sub = line.app().add_subcommand(command->name, command->help);
    CommandLine its_line(*sub);
    Action action = command->define(its_line);
    sub->final_callback([chosen, action = std::move(action)] { *chosen = action; });
  }
  line.app().require_subcommand(1);
  return [chosen] { return (*chosen)(); };
}

int run(int argc, const char* const* argv) {
  CLI::App app("Plumb, a deep learning engine: trains, samples and measures models.", "plumb");
  app.set_version_flag("--version", std::string("plumb ") + kVersion);
  CommandLine line(app);
  Action action;
  try {
    action = choose(line, commands());
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return parse_failed(app, error);
  }
  dist::quieten_others();
  return perform(action, command_path(app));
}

}  // namespace plumb::tools
