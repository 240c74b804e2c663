// Stored results of methods, and the table that a report makes of them.
#include "methods/results.h"

#include "tests/fuzz/target.h"

using namespace plumb;
using namespace plumb::methods;

namespace plumb_fuzz {
namespace {

// Two variants that are measured in two ways; the input says what they measured.
Experiment experiment() {
  return {.title = "ELR",
          .metrics = {{"test accuracy (%)"}, {"loss", Better::lower}},
          .variants = {{"cross entropy", "as usual"}, {"ELR", "with targets"}},
          .baseline = "cross entropy",
          .method = "ELR"};
}

// What is read can be written and read again, and told.
void read_results(std::string_view bytes) {
  Results results = Results::from_json(std::string(bytes), "results.json");
  Results again = Results::from_json(results.to_json(), "results.json");
  for (const Results* r : {&results, &again}) {
    table_text(experiment(), *r);
    table_markdown(experiment(), *r);
    effect(experiment(), *r);
  }
}
std::vector<std::string> result_seeds() {
  Results results{.slug = "elr", .command = "plumb run elr", .machine = "two cores", .date = "2026-11-27"};
  for (uint64_t seed : {1, 2})
    for (const char* variant : {"cross entropy", "ELR"})
      results.cells.push_back({variant,
                               seed,
                               1.5,
                               {{{"test accuracy (%)", 70.0 + static_cast<double>(seed)}, {"loss", 0.5}},
                                {{"accuracy", "step", "", {1, 2}, {0.5, 0.625}}},
                                {}}});
  return {results.to_json(), R"({"method":"elr","cells":[{"variant":"ELR","metrics":{"loss":null}}]})"};
}

// A line of the cells of a run that is not finished.
void read_cell(std::string_view bytes) { CellResult::from_json(CellResult::from_json(std::string(bytes), "line 1").to_json(), "line 1"); }
std::vector<std::string> cell_seeds() {
  return {CellResult{"ELR", 3, 0.25, {{{"loss", 0.5}}, {{"loss", "step", "a", {1, 2}, {3, 4}}}, {}}}.to_json()};
}

}  // namespace

std::vector<Target> result_targets() {
  return {
      {"results", read_results, result_seeds, "json", 2048},
      {"cell", read_cell, cell_seeds, "json"},
  };
}

}  // namespace plumb_fuzz
