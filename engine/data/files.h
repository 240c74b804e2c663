// Where published data sets lie: the data directory.
#pragma once
#include <string>
#include <vector>

#include "engine/data/source.h"

namespace plumb::data {

/// `directory`, or if it is empty the environment variable PLUMB_DATA, or "data".
std::string data_directory(const std::string& directory = "");
/// The path of `file` of the published set `set`: in directory/folder or in directory itself, as it is named or gzipped (".gz").
/// Throws IoError: "mnist: data/mnist/train-images-idx3-ubyte is missing (with and without .gz); fetch it: plumb data fetch mnist".
std::string find_data_file(const std::string& set, const std::string& directory, const std::string& folder, const std::string& file);
/// As find_data_file, but gives an empty string for a missing file.
std::string find_optional_data_file(const std::string& directory, const std::string& folder, const std::string& file);
/// The hashes of files as they are on disk.
std::vector<SourceHash> hash_files(const std::vector<std::string>& paths);

}  // namespace plumb::data
