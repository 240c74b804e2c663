// Paths that stand in files from others.
#pragma once
#include <filesystem>
#include <string>

namespace plumb {

/// Whether `path` names something below the directory that it is relative to: not absolute, and not by way of "..".
inline bool stays_below(const std::string& path) {
  std::filesystem::path parts(path);
  if (parts.empty() || parts.is_absolute() || path.find('\0') != std::string::npos) return false;
  for (const auto& part : parts)
    if (part == "..") return false;
  return true;
}

}  // namespace plumb
