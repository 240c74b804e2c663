// The pages, unpacked when they are first asked for.
#include "tools/explain/pages.h"

#include "engine/io/file.h"

namespace plumb::tools {
namespace {

std::vector<OperationPage> pages_of(std::string_view text) {
  std::vector<OperationPage> pages;
  auto next = [&text] {
    std::string_view part = text.substr(0, text.find('\0'));
    text.remove_prefix(part.size() + 1);
    return part;
  };
  while (!text.empty()) {
    std::string_view name = next(), summary = next();
    pages.push_back({name, summary, next()});
  }
  return pages;
}

}  // namespace

std::span<const OperationPage> operation_pages() {
  static const std::string text = packed_pages().empty() ? std::string() : gunzip(packed_pages(), "the pages of operations");
  static const std::vector<OperationPage> pages = pages_of(text);
  return pages;
}

}  // namespace plumb::tools
