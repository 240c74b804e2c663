// Real paths compared, part by part.
#include "engine/io/inside.h"

#include <algorithm>
#include <filesystem>

namespace plumb {

bool lies_in(const std::string& directory, const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code error;
  fs::path real = fs::canonical(path, error);
  if (error || !fs::is_regular_file(real, error)) return false;
  fs::path home = fs::canonical(directory, error);
  if (error) return false;
  return std::ranges::mismatch(home, real).in1 == home.end();
}

}  // namespace plumb
