// The pages of operations that the build made of the sources (docs/builder/text_pages.py).
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace plumb::tools {

struct OperationPage {
  std::string_view name, summary, text;
};

/// In order of their names; none where the build could not make them.
std::span<const OperationPage> operation_pages();
/// The same as they are in the binary: name, summary and text of each, with a zero byte after every one, gzipped; or nothing.
std::string_view packed_pages();
/// Why there are none, or "".
const char* pages_problem();

/// Names that are like `name`, the nearest first, at most three; empty if none is close.
std::vector<std::string_view> nearest_operations(std::string_view name);

}  // namespace plumb::tools
