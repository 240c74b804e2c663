// How deep and how wide a text of JSON is, told before it is parsed: parsed values are copied and printed by recursion, and ordered objects
// look names up one by one, so that a file of a megabyte could use up the stack or an hour.
#pragma once
#include <cstddef>
#include <string_view>

namespace plumb {

constexpr size_t kDeepestJson = 64;
/// In one object of a JsonObject. Vocabularies have more and are read without order.
constexpr size_t kMostJsonNames = 2'000;

struct JsonExtent {
  size_t depth = 0;  ///< of lists and objects within each other
  size_t names = 0;  ///< most in one object
};
/// Of `text`, which need not be JSON.
JsonExtent json_extent(std::string_view text);

}  // namespace plumb
