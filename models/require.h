// Checks of configurations: each throws ConfigError that names what is wrong, and with which value.
#pragma once
#include <initializer_list>
#include <string>
#include <utility>

#include "engine/core/error.h"

namespace plumb {

/// Throws ConfigError(problem) unless it `holds`.
inline void require(bool holds, const std::string& problem) {
  if (!holds) throw ConfigError(problem);
}

/// Names the first that is below 1. `model` begins the message.
inline void require_positive(const char* model, std::initializer_list<std::pair<const char*, int64_t>> sizes) {
  for (auto [name, value] : sizes)
    require(value >= 1, std::string(model) + ": " + name + " must be at least 1, it is " + std::to_string(value));
}

/// Throws ConfigError unless 0 ≤ value < 1.
inline void require_rate(const char* model, const char* name, double value) {
  require(value >= 0 && value < 1, std::string(model) + ": " + name + " must lie in [0, 1), it is " + decimal(value));
}

/// Throws ConfigError unless `divisor`, which `of` names, divides `value`.
inline void require_multiple(const char* model, const char* name, int64_t value, const char* of, int64_t divisor) {
  require(value % divisor == 0,
          std::string(model) + ": " + name + " " + std::to_string(value) + " is not a multiple of " + of + " " + std::to_string(divisor));
}

}  // namespace plumb
