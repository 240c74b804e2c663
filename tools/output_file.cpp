// Asking by trying: a temporary file is made where the result is to be, and taken away.
#include "tools/output_file.h"

#include <filesystem>

#include "engine/io/file.h"

namespace plumb::tools {

void check_can_write(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code unknown;
  fs::file_status there = fs::status(path, unknown);
  bool special = fs::exists(there) && !fs::is_regular_file(there) && !fs::is_directory(there);
  if (!special) AtomicFile probe(path);  // a pipe's reader would take the end of this for the end of the file
}

}  // namespace plumb::tools
