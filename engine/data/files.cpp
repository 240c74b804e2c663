// Finding the files of published data sets.
#include "engine/data/files.h"

#include <fmt/format.h>

#include <cstdlib>

#include "engine/io/file.h"
#include "engine/io/sha256.h"

namespace plumb::data {

std::string data_directory(const std::string& directory) {
  if (!directory.empty()) return directory;
  const char* from_environment = std::getenv("PLUMB_DATA");
  return from_environment && *from_environment ? from_environment : "data";
}

std::string find_optional_data_file(const std::string& directory, const std::string& folder, const std::string& file) {
  std::string base = data_directory(directory);
  for (const std::string& place : {base + "/" + folder + "/" + file, base + "/" + file})
    for (const char* ending : {"", ".gz"})
      if (path_exists(place + ending)) return place + ending;
  return "";
}

std::string find_data_file(const std::string& set, const std::string& directory, const std::string& folder, const std::string& file) {
  std::string path = find_optional_data_file(directory, folder, file);
  if (path.empty())
    throw IoError(fmt::format("{}: {}/{}/{} is missing (with and without .gz); fetch it: plumb data fetch {}", set,
                              data_directory(directory), folder, file, set));
  return path;
}

std::vector<SourceHash> hash_files(const std::vector<std::string>& paths) {
  std::vector<SourceHash> hashes;
  for (const std::string& path : paths) hashes.push_back({path, sha256_of_file(path)});
  return hashes;
}

}  // namespace plumb::data
