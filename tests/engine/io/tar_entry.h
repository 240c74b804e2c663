// A member of a tar archive, for tests that make their own.
#pragma once
#include <cstdio>
#include <string>

namespace plumb_test {

/// Header and content, padded to whole blocks; the end of an archive is 1024 zeros after the last one. kind '0': a file, '5': a folder.
inline std::string tar_entry(const std::string& name, const std::string& content, char kind = '0') {
  std::string header(512, '\0');
  header.replace(0, name.size(), name);
  char size[12];
  std::snprintf(size, sizeof size, "%011zo", content.size());
  header.replace(124, 11, size);
  header[156] = kind;
  header.replace(257, 5, "ustar");
  return header + content + std::string((512 - content.size() % 512) % 512, '\0');
}

}  // namespace plumb_test
