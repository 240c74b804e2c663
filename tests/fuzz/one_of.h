// Configurations of several kinds as one target.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace plumb_fuzz {

/// The defaults of a configuration, with what makes no model by default: columns for those of tables, sizes of images for those of runs.
template <typename Config>
Config small() {
  Config c;
  if constexpr (requires { c.inputs; }) c.inputs = 2;
  if constexpr (requires { c.numeric, c.categories; }) c.numeric = 2, c.categories = {3};
  if constexpr (requires { c.image; c.training; }) c.image = {1, 8, 8};
  if constexpr (requires { c.encoder.columns(); })
    c.encoder =
        decltype(c.encoder)({{.name = "age", .mean = 40, .deviation = 9}, {.name = "job", .categorical = true, .categories = {"clerk"}}});
  return c;
}

/// Configurations of several kinds in one target: the first byte says of which.
template <typename... Configs>
struct OneOf {
  template <typename F>
  static void visit(std::string_view bytes, F&& f) {
    if (bytes.empty()) return;
    size_t choice = static_cast<uint8_t>(bytes[0]) % sizeof...(Configs), i = 0;
    std::string text(bytes.substr(1));
    auto attempt = [&]<typename Config>(Config config) {
      if (i++ == choice) f(config, text);
    };
    (attempt(Configs()), ...);
  }
  /// What is read can be written, and read again.
  static void read(std::string_view bytes) {
    visit(bytes, []<typename Config>(Config, const std::string& text) { Config::from_json(Config::from_json(text).to_json()); });
  }
  static std::vector<std::string> seeds() {
    char i = 0;
    return {std::string(1, i++) + small<Configs>().to_json()...};
  }
};

}  // namespace plumb_fuzz
