// `plumb explain`: the page of an operation in the terminal.
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "engine/core/error.h"
#include "tools/cli/edit_distance.h"
#include "tools/commands.h"
#include "tools/explain/pages.h"

namespace plumb::tools {

std::vector<std::string_view> nearest_operations(std::string_view name) {
  constexpr size_t kMost = 3;
  std::vector<std::pair<size_t, std::string_view>> found;
  for (const OperationPage& page : operation_pages()) {
    size_t distance = edit_distance(name, page.name);
    bool part = name.size() >= 3 && page.name.find(name) != std::string_view::npos;
    if (part || distance <= std::max<size_t>(2, name.size() / 3))
      found.push_back({part ? std::min<size_t>(distance, 1) : distance, page.name});
  }
  std::ranges::stable_sort(found);
  std::vector<std::string_view> names;
  for (size_t i = 0; i < std::min(kMost, found.size()); ++i) names.push_back(found[i].second);
  return names;
}

namespace {

void list_pages() {
  for (const OperationPage& page : operation_pages()) fmt::print("{:32} {}\n", page.name, page.summary);
}

int explain(const std::string& name) {
  if (operation_pages().empty()) throw ConfigError(std::string("this build has no pages of operations: ") + pages_problem());
  if (name.empty()) {
    list_pages();
    return 0;
  }
  for (const OperationPage& page : operation_pages()) {
    if (page.name != name) continue;
    fmt::print("{}", page.text);
    return 0;
  }
  std::vector<std::string_view> near = nearest_operations(name);
  throw ConfigError(fmt::format("there is no operation {}{} (plumb explain lists all)", name,
                                near.empty() ? "" : fmt::format(", did you mean {}?", fmt::join(near, ", "))));
}

Action define(CommandLine& line) {
  auto name = std::make_shared<std::string>();
  line.option("operation", *name, "matmul, softmax, …; without it, all are listed");
  return [name] { return explain(*name); };
}

}  // namespace

extern const Command explain_command;
const Command explain_command{"explain", "an operation's formula, derivative, shapes, errors, and where its kernels and tests are", define};

}  // namespace plumb::tools
