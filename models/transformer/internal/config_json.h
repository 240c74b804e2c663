// Configuration structs to JSON and back: each lists its fields once, in `visit(config, f)`, which calls f(name, member) for every field.
#pragma once
#include <initializer_list>
#include <string>
#include <utility>

#include "engine/core/error.h"
#include "engine/io/json_object.h"

namespace plumb::transformer::detail {

template <typename Config, typename Visit>
std::string config_to_json(const Config& config, Visit&& visit) {
  JsonObject json;
  visit(config, [&](const char* name, const auto& member) { json.set(name, member); });
  return json.text();
}

/// What is missing keeps its default. `model` names the kind in errors. The result is checked.
template <typename Config, typename Visit>
Config config_from_json(const char* model, const std::string& text, Visit&& visit) {
  auto json = JsonObject::parse(text, model);
  Config config;
  visit(config, [&](const char* name, auto& member) { json.read(name, member); });
  config.check();
  return config;
}

inline void require(bool holds, const std::string& problem) {
  if (!holds) throw ConfigError(problem);
}

/// Throws ConfigError naming the first that is below 1.
inline void require_positive(const char* model, std::initializer_list<std::pair<const char*, int64_t>> sizes) {
  for (auto [name, value] : sizes) require(value >= 1, std::string(model) + ": " + name + " must be at least 1, it is " + std::to_string(value));
}

inline void require_rate(const char* model, const char* name, double value) {
  require(value >= 0 && value < 1, std::string(model) + ": " + name + " must lie in [0, 1), it is " + std::to_string(value));
}

inline void require_multiple(const char* model, const char* name, int64_t value, const char* of, int64_t divisor) {
  require(value % divisor == 0, std::string(model) + ": " + name + " " + std::to_string(value) + " is not a multiple of " + of + " " + std::to_string(divisor));
}

}  // namespace plumb::transformer::detail
