// Directories that a command makes: there whole, or not at all.
#pragma once
#include <functional>
#include <string>

namespace plumb::tools {

/// Lets `fill` make a directory under a hidden name beside `path` and gives it the name `path` when it is done and on the disk. If `fill`
/// throws, nothing is left; if the program is killed, a hidden directory, and `path` is free. Throws ConfigError if `path` is empty or
/// exists.
void make_whole_directory(const std::string& path, const std::function<void(const std::string& directory)>& fill);

/// The bytes of a file into another, which appears whole. Throws IoError.
void copy_file(const std::string& from, const std::string& to);
/// Copies the file `name` of one directory into another, with the directories in `name`; nothing if it is not there. Throws IoError for a
/// link that leads out of `from` (into the blobs of a Hugging Face cache it may).
void copy_if_there(const std::string& name, const std::string& from, const std::string& to);

}  // namespace plumb::tools
