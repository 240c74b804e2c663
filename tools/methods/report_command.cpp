// `plumb report`: RESULTS.md's part on methods, and one page of all of them, from stored results.
#include <fmt/format.h>

#include <memory>

#include "engine/core/error.h"
#include "engine/io/file.h"
#include "methods/page.h"
#include "tools/commands.h"

namespace plumb::tools {
namespace {

using namespace methods;

constexpr const char* kMark = "<!-- From here on written by `plumb report`. -->";

struct Options {
  std::string source = ".", html = "methods.html";
};

std::vector<std::pair<const Method*, Results>> stored_results(const std::string& source) {
  std::vector<std::pair<const Method*, Results>> found;
  for (const Method& m : shelf()) {
    std::string path = fmt::format("{}/methods/{}/{}/results.json", source, m.family, m.slug);
    if (path_exists(path)) found.emplace_back(&m, Results::from_json(read_file(path), path));
  }
  return found;
}

std::string markdown(const std::vector<std::pair<const Method*, Results>>& stored) {
  std::string text = fmt::format("{}\n\n# Methods\n\n± are 95 % intervals over seeds (Student's t); differences are taken seed by seed.\n", kMark);
  for (const auto& [method, results] : stored) {
    Experiment e = method->experiment();
    text += fmt::format("\n## {}\n\n{}\n\n{}\nMeasured: {}. `{}`, {}, {}; [more](methods/{}/{}/README.md).\n", e.title, e.claim, table_markdown(e, results), effect(e, results),
                        results.command, results.machine, results.date, method->family, method->slug);
  }
  return text;
}

int report(const Options& o) {
  std::string path = o.source + "/RESULTS.md";
  if (!path_exists(path)) throw ConfigError(path + " is not there; give --source the directory of Plumb's sources");
  auto stored = stored_results(o.source);
  std::string text = read_file(path);
  text = text.substr(0, text.find(kMark));
  while (!text.empty() && text.back() == '\n') text.pop_back();
  write_file_atomic(path, text + "\n\n" + markdown(stored));
  write_file_atomic(o.html, index_page(stored));
  fmt::print("{} of {} methods have results: {}, {}\n", stored.size(), shelf().size(), path, o.html);
  return 0;
}

}  // namespace

extern const Command report_command;
const Command report_command{"report", "write RESULTS.md and a page from the methods' stored results", [](CommandLine& line) -> Action {
  auto o = std::make_shared<Options>();
  line.option("--source", o->source, "directory of Plumb's sources, with methods/ and RESULTS.md");
  line.option("--html", o->html, "the page to write");
  return [o] { return report(*o); };
}};

}  // namespace plumb::tools
