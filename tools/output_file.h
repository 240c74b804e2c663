// Files that a command writes when its work is done.
#pragma once
#include <string>

namespace plumb::tools {

/// Throws IoError, as writing there would, if no file can be made at `path`: its directory is missing, may not be written to, or `path` is
/// a directory. To be asked before the work whose result goes there. Leaves no trace; what a device or a pipe takes only writing can tell.
void check_can_write(const std::string& path);

}  // namespace plumb::tools
