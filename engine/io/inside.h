// Whether a file belongs to the directory that names it.
#pragma once
#include <string>

namespace plumb {

/// Whether `path` is a regular file that lies in `directory` or below it, links followed in both: a link in a stranger's directory may lead
/// to anything that this user may read.
bool lies_in(const std::string& directory, const std::string& path);

}  // namespace plumb
