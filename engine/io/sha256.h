// SHA-256 (FIPS 180-4): the name of a file by its content, for downloads and for what a result was computed from.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace plumb {

/// The hash of bytes given piece by piece.
class Sha256 {
 public:
  void update(const void* data, size_t bytes);
  /// 64 hexadecimal digits. Nothing may be added afterwards.
  std::string hex();

 private:
  void compress(const uint8_t* block);
  std::array<uint32_t, 8> state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<uint8_t, 64> block_{};
  uint64_t length_ = 0;
};

/// The hash of `data` in hexadecimal.
std::string sha256(std::string_view data);
/// The hash of the file's bytes as they are (compressed, if they are). Throws IoError if it cannot be read.
std::string sha256_of_file(const std::string& path);

}  // namespace plumb
