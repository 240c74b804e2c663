// `plumb methods`: what is on the shelf.
#include <fmt/format.h>

#include <memory>

#include "engine/io/file.h"
#include "engine/io/json_object.h"
#include "methods/results.h"
#include "methods/shelf.h"
#include "tools/commands.h"

namespace plumb::tools {
namespace {

using namespace methods;

std::string stored_effect(const Method& method, const Experiment& experiment) {
  if (method.stored_results.empty()) return "";
  const std::string path = std::string(method.slug) + "/results.json";
  return effect(experiment, Results::from_json(gunzip(method.stored_results, path), path));
}

void print_json() {
  std::vector<JsonObject> lines;
  for (const Method& m : shelf()) {
    Experiment e = m.experiment();
    JsonObject json;
    json.set("slug", std::string(m.slug));
    json.set("family", std::string(m.family));
    json.set("title", e.title);
    json.set("paper", e.paper);
    json.set("claim", e.claim);
    json.set("effect", stored_effect(m, e));
    if (const Method* of = method_of(m)) json.set("experiment_of", std::string(of->slug));
    fmt::print("{}\n", json.text());
  }
}

void print_text() {
  std::string_view family;
  for (const Method& m : shelf()) {
    Experiment e = m.experiment();
    if (m.family != family) fmt::print("{}{}\n", family.empty() ? "" : "\n", m.family);
    family = m.family;
    std::string measured = stored_effect(m, e);
    const Method* of = method_of(m);
    std::string source = of ? "a further experiment of " + std::string(of->slug) : e.paper;
    fmt::print("  {:<20} {}: {}\n  {:<20} {}\n  {:<20} {}\n", m.slug, e.title, e.claim, "", source, "",
               measured.empty() ? "not measured yet" : "measured: " + measured);
  }
  fmt::print("\n{} methods, {} experiments\n", count_methods(), shelf().size());
}

}  // namespace

extern const Command methods_command;
const Command methods_command{"methods", "list the published methods on the shelf", [](CommandLine& line) -> Action {
  auto json = std::make_shared<bool>(false);
  line.flag("--json", *json, "one JSON object a line");
  return [json] {
    *json ? print_json() : print_text();
    return 0;
  };
}};

}  // namespace plumb::tools
