// Names that survive a loss of power.
#pragma once
#include <string>

namespace plumb {

/// Flushes to the disk the directory in which `path` lies: without that a file that was just made, or a directory, may be gone after a loss
/// of power although its contents were flushed. Returns 0, or the error (errno); what the file system cannot flush is no error.
int flush_directory_of(const std::string& path);

}  // namespace plumb
