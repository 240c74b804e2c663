// How a command declares its options. The library that parses them stays in cli/, out of every command's compile time.
#pragma once
#include <string>

namespace CLI {
class App;
}

namespace plumb::tools {

/// The options of one command. Values are written where the references point before the command's action runs, so these must live until
/// then.
class CommandLine {
 public:
  explicit CommandLine(CLI::App& app) : app_(&app) {}

  /// `--name VALUE`, or without dashes an argument by its place. T: int64_t, uint64_t, double, std::string, an optional of those, or a
  /// vector of int64_t, double or std::string, which takes several values. `help` is one line, lower case, no full stop; what `value` holds
  /// is shown as the default, unless it is empty.
  template <typename T>
  void option(const char* name, T& value, const std::string& help);
  /// The same, but it must be given.
  template <typename T>
  void required(const char* name, T& value, const std::string& help);
  void flag(const char* name, bool& value, const std::string& help);

  /// `name` and `other`, both defined before, may not be given together.
  void exclude(const char* name, const char* other);
  /// `name` may not be given beside any other option defined so far.
  void exclude_others(const char* name);
  /// Whether the option was given; to be asked in the action.
  bool given(const char* name) const;

  CLI::App& app() { return *app_; }

 private:
  CLI::App* app_;
};

}  // namespace plumb::tools
