// The option --winograd.
#pragma once
#include <string>

namespace plumb::tools {

inline constexpr const char* kWinogradHelp =
    "3x3 convolutions on the CPU: by tiles of 2x2 or 4x4 (bf16's are always 2x2), or off: the plain sum";

/// Throws ConfigError, naming --winograd, if `name` is none of off, 2x2 and 4x4.
void check_winograd(const std::string& name);
/// Sets it for the whole process, of f32 and of bf16 (engine/core/precision.h). Throws as check_winograd does.
void set_winograd(const std::string& name);

}  // namespace plumb::tools
