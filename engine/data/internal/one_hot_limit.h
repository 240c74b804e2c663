// How many inputs a column of texts may become.
#pragma once
#include <cstddef>
#include <string>

#include "engine/core/error.h"

namespace plumb::data {

/// A 0/1 input for each text takes rows × texts numbers: with a different text in every row (names, addresses) a small file would fill the
/// memory.
constexpr size_t kOneHotLimit = 2048;

/// Throws ValueError naming the column if it has more texts than kOneHotLimit.
inline void check_one_hot(const std::string& column, size_t texts) {
  if (texts > kOneHotLimit)
    throw ValueError("table: column \"" + column + "\" has " + std::to_string(texts) +
                     " different texts, and a 0/1 input for each is for at most " + std::to_string(kOneHotLimit) +
                     "; leave the column out, or bring its texts into groups");
}

}  // namespace plumb::data
