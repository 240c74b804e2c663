// The option --winograd.
#pragma once
#include <string>

namespace plumb::tools {

inline constexpr const char* kWinogradHelp = "3x3 convolutions on the CPU: off (the plain sum), 2x2 or 4x4 (tiles, of bf16 too), default (2x2 in f32, off in bf16)";

/// Throws ConfigError, naming --winograd, if `name` is none of off, 2x2, 4x4 and default.
void check_winograd(const std::string& name);
/// Sets it for the whole process (engine/core/precision.h). Throws as check_winograd does.
void set_winograd(const std::string& name);

}  // namespace plumb::tools
