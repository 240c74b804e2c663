// Reading tar archives: blocks of 512 bytes, a header before each file.
#include "engine/io/tar.h"

#include <algorithm>

#include "engine/core/error.h"

namespace plumb {
namespace {

/// An octal number of a tar header; the field is padded with spaces and zeros.
size_t octal(std::string_view field) {
  size_t value = 0;
  for (char c : field)
    if (c >= '0' && c <= '7') value = 8 * value + static_cast<size_t>(c - '0');
  return value;
}

}  // namespace

std::vector<std::pair<std::string, std::string_view>> tar_members(std::string_view archive, const std::string& name) {
  constexpr size_t kBlock = 512;
  std::vector<std::pair<std::string, std::string_view>> members;
  for (size_t at = 0; at + kBlock <= archive.size();) {
    std::string_view header = archive.substr(at, kBlock);
    if (header[0] == '\0') return members;  // the end is marked by empty blocks
    if (header.substr(257, 5) != "ustar") throw IoError(name + ": not a tar archive");
    size_t size = octal(header.substr(124, 12));
    at += kBlock;
    if (size > archive.size() - at) break;
    std::string path(header.substr(0, std::min<size_t>(header.find('\0'), 100)));
    if (header[156] == '0' || header[156] == '\0') members.emplace_back(path, archive.substr(at, size));
    at += (size + kBlock - 1) / kBlock * kBlock;
  }
  throw IoError(name + ": the archive ends too early; fetch it again");
}

}  // namespace plumb
