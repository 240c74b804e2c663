// How much a compressed file may unpack to.
#pragma once
#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

namespace plumb {

/// A hundred bytes for each one, or 4 GiB where that is more. Deflate packs up to 1,032 to 1, which is what decompression bombs are made
/// of; data that is worth it stays far below.
constexpr size_t unpack_limit(size_t packed) { return std::max(100 * packed, size_t{4} << 30); }

/// gunzip (engine/io/file.h) with another limit than unpack_limit. Throws IoError naming `path` also for data beyond it.
std::string gunzip(std::string_view compressed, const std::string& path, size_t limit);

}  // namespace plumb
