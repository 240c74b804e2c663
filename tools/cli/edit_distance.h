// Edit distance between words, for "did you mean".
#pragma once
#include <cstddef>
#include <string_view>

namespace plumb::tools {

/// Insertions, deletions, changes and swaps of neighbours that turn a into b.
size_t edit_distance(std::string_view a, std::string_view b);

}  // namespace plumb::tools
