// CRC-32C, the checksum of tensors files and event files.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace plumb {

/// CRC-32C (Castagnoli: polynomial 0x1EDC6F41, reflected, inverted at both ends) of `bytes` bytes at `data`. Pieces are joined by giving
/// the checksum of what comes `before`: crc32c(b, nb, crc32c(a, na)) is that of a and b together. It notices every change within 32
/// adjacent bits.
uint32_t crc32c(const void* data, size_t bytes, uint32_t before = 0);
inline uint32_t crc32c(std::string_view text) { return crc32c(text.data(), text.size()); }

}  // namespace plumb
