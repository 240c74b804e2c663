// `plumb report`: RESULTS.md's part on methods, and one page of all of them, from stored results.
#include <fmt/format.h>

#include <memory>

#include "engine/core/error.h"
#include "engine/io/file.h"
#include "methods/page.h"
#include "methods/tables.h"
#include "tools/commands.h"
#include "tools/output_file.h"

namespace plumb::tools {
namespace {

using namespace methods;

constexpr const char* kMark = "<!-- From here on written by `plumb report`. -->";

struct Options {
  std::string source = ".", html = "methods.html";
};

using Stored = std::vector<std::pair<const Method*, Results>>;

Stored stored_results(const std::string& source, std::span<const Method> of) {
  Stored found;
  for (const Method& m : of) {
    std::string path = fmt::format("{}/methods/{}/results.json", source, folder_of(m));
    if (path_exists(path)) found.emplace_back(&m, Results::from_json(read_file(path), path));
  }
  return found;
}

std::string sections(const Stored& stored) {
  std::string text;
  for (const auto& [method, results] : stored) {
    Experiment e = method->experiment();
    std::string measured = effect(e, results);
    text += fmt::format("\n## {}\n\n{}\n\n{}\n{}`{}`, {}, {}; [more](methods/{}/README.md).\n", e.title, e.claim,
                        table_markdown(e, results), measured.empty() ? "" : "Measured: " + measured + ". ", results.command,
                        results.machine, results.date, folder_of(*method));
  }
  return text;
}

std::string markdown(const Stored& methods, const Stored& common) {
  std::string text =
      fmt::format("{}\n\n# Methods\n\n± are 95 % intervals over seeds (Student's t); differences are taken seed by seed.\n", kMark);
  text += sections(methods);
  return common.empty() ? text : text + "\n# Common tables\n" + sections(common);
}

int report(const Options& o) {
  std::string path = o.source + "/RESULTS.md";
  if (!path_exists(path)) throw ConfigError(path + " is not there; give --source the directory of Plumb's sources");
  check_can_write(o.html);  // before RESULTS.md is written
  Stored stored = stored_results(o.source, shelf()), common = stored_results(o.source, tables());
  std::string text = read_file(path);
  text = text.substr(0, text.find(kMark));
  while (!text.empty() && text.back() == '\n') text.pop_back();
  write_file_atomic(path, text + "\n\n" + markdown(stored, common));
  Stored all = stored;
  all.insert(all.end(), common.begin(), common.end());
  write_file_atomic(o.html, index_page(all));
  fmt::print("{} of {} experiments and {} of {} common tables have results: {}, {}\n", stored.size(), shelf().size(), common.size(),
             tables().size(), path, o.html);
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
