// What is left of files that were being written when their process was killed.
#pragma once
#include <string>

namespace plumb {

/// Removes from `directory` the temporary files of AtomicFiles whose processes were killed; those of processes that still run stay.
/// What cannot be removed stays, too.
void remove_abandoned_files(const std::string& directory);

}  // namespace plumb
