// tar archives.
#pragma once
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace plumb {

/// The regular files of a tar archive (POSIX ustar), as (path, content); contents are views of `archive`. Throws IoError naming `name` if
/// it is truncated or no archive.
std::vector<std::pair<std::string, std::string_view>> tar_members(std::string_view archive, const std::string& name);

}  // namespace plumb
