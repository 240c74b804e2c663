// For tests that damage tensors files: checksums would refuse the damage before it came to the reader's other checks.
#pragma once
#include <cstdint>
#include <cstring>
#include <string>

namespace plumb_test {

/// The safetensors file `bytes` as a program writes it that knows no checksums.
inline std::string without_checksums(const std::string& bytes) {
  uint64_t size;
  std::memcpy(&size, bytes.data(), 8);
  std::string header = bytes.substr(8, size), data = bytes.substr(8 + size), file(8, 0);
  for (const char* key : {"plumb.crc32c.header", "plumb.crc32c.tensors"}) {
    size_t begin = header.find(key) - 1, end = header.find_first_of(",}", begin);
    if (header[begin - 1] == ',') --begin;
    else if (header[end] == ',') ++end;
    header.erase(begin, end - begin);
  }
  size = header.size();
  std::memcpy(file.data(), &size, 8);
  return file + header + data;
}

}  // namespace plumb_test
