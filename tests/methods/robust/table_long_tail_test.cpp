// The common table for long-tailed classes: every variant in every setting, on the same problem.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>

#include "methods/runner.h"
#include "methods/tables.h"

using namespace plumb;
using namespace plumb::methods;

TEST_CASE("long-tail table: every variant measures both sets at every factor, and no two are the same") {
  const Method& table = find_table("long_tail");
  CHECK(folder_of(table) == "robust/table_long_tail");
  Experiment e = table.experiment();
  REQUIRE(e.metrics.size() == 6);
  Results whole = run_experiment(table, {.budget = Budget::smoke, .seeds = 1});
  REQUIRE(whole.cells.size() == e.variants.size());
  std::map<std::string, std::vector<std::pair<std::string, double>>> measured;
  for (const CellResult& cell : whole.cells) {
    CAPTURE(cell.variant);
    measured[cell.variant] = cell.measured.metrics;
    REQUIRE(cell.measured.metrics.size() == 6);
    for (auto& [name, accuracy] : cell.measured.metrics) CHECK((accuracy > 0 && accuracy <= 100));
    // The three groups of classes, for each set over the factors.
    CHECK(std::ranges::count_if(cell.measured.curves, [](const Curve& c) { return c.x_label == "factor" && c.x.size() == 3; }) == 6);
  }
  auto learned = [&](const std::string& variant) {  // the curves, which tell losses apart where a few test images do not
    std::vector<double> all;
    for (const CellResult& cell : whole.cells)
      if (cell.variant == variant)
        for (const Curve& c : cell.measured.curves) all.insert(all.end(), c.y.begin(), c.y.end());
    return all;
  };
  for (const Variant& a : e.variants)
    for (const Variant& b : e.variants)
      if (a.name < b.name) {
        CAPTURE(a.name);
        CAPTURE(b.name);
        CHECK(learned(a.name) != learned(b.name));
      }
  Results alone = run_experiment(table, {.budget = Budget::smoke, .seeds = 1, .variants = {"MDCS"}});
  CHECK(alone.cells[0].measured.metrics == measured["MDCS"]);  // whichever variants ran before
}
