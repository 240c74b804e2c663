// CommandLine over CLI11.
#include "tools/command_line.h"

#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <type_traits>
#include <vector>

namespace plumb::tools {
namespace {

template <typename T>
constexpr bool has_default(const T& value) {
  if constexpr (requires { value.has_value(); }) return value.has_value();
  else if constexpr (requires { value.empty(); }) return !value.empty();
  else return true;
}

template <typename T>
constexpr bool holds_fractions =
    std::is_same_v<T, double> || std::is_same_v<T, std::optional<double>> || std::is_same_v<T, std::vector<double>>;

// "inf", "nan" and "1e999" are numbers to the parser, but no option means them: they would fail late, or train garbage.
std::string finiteness_problem(const std::string& text) {
  char* end = nullptr;
  double value = std::strtod(text.c_str(), &end);
  return end == text.c_str() || std::isfinite(value) ? "" : "must be a finite number, it is " + text;
}

template <typename T>
CLI::Option* add(CLI::App& app, const char* name, T& value, const std::string& help) {
  CLI::Option* option = app.add_option(name, value, help);
  if constexpr (holds_fractions<T>) option->check(finiteness_problem, "");
  return option;
}

}  // namespace

template <typename T>
void CommandLine::option(const char* name, T& value, const std::string& help) {
  CLI::Option* option = add(*app_, name, value, help);
  if (has_default(value)) option->capture_default_str();
}

template <typename T>
void CommandLine::required(const char* name, T& value, const std::string& help) {
  add(*app_, name, value, help)->required();
}

void CommandLine::flag(const char* name, bool& value, const std::string& help) { app_->add_flag(name, value, help); }

void CommandLine::exclude(const char* name, const char* other) { app_->get_option(name)->excludes(app_->get_option(other)); }

void CommandLine::exclude_others(const char* name) {
  CLI::Option* one = app_->get_option(name);
  for (CLI::Option* option : app_->get_options())
    if (option != one && option->get_name() != "--help") one->excludes(option);
}

bool CommandLine::given(const char* name) const { return app_->get_option(name)->count() > 0; }

template void CommandLine::option(const char*, int64_t&, const std::string&);
template void CommandLine::option(const char*, uint64_t&, const std::string&);
template void CommandLine::option(const char*, double&, const std::string&);
template void CommandLine::option(const char*, std::string&, const std::string&);
template void CommandLine::option(const char*, std::optional<int64_t>&, const std::string&);
template void CommandLine::option(const char*, std::optional<double>&, const std::string&);
template void CommandLine::option(const char*, std::optional<std::string>&, const std::string&);
template void CommandLine::option(const char*, std::vector<int64_t>&, const std::string&);
template void CommandLine::option(const char*, std::vector<double>&, const std::string&);
template void CommandLine::option(const char*, std::vector<std::string>&, const std::string&);
template void CommandLine::required(const char*, std::string&, const std::string&);
template void CommandLine::required(const char*, std::vector<std::string>&, const std::string&);

}  // namespace plumb::tools
