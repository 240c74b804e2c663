// One pass over brackets, colons and strings.
#include "engine/io/internal/json_limits.h"

#include <algorithm>
#include <vector>

namespace plumb {

JsonExtent json_extent(std::string_view text) {
  JsonExtent extent;
  std::vector<size_t> names;  // of each open list or object
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (in_string && c == '\\') ++i;
    if (c == '"') in_string = !in_string;
    if (in_string) continue;
    if (c == '[' || c == '{') names.push_back(0);
    if ((c == ']' || c == '}') && !names.empty()) names.pop_back();
    if (c == ':' && !names.empty()) extent.names = std::max(extent.names, ++names.back());
    extent.depth = std::max(extent.depth, names.size());
  }
  return extent;
}

}  // namespace plumb
