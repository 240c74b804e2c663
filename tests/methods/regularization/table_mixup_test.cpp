// The common table of mixing: found beside the shelf, every variant measured, and each one different from the others.
#include <doctest/doctest.h>

#include <set>

#include "methods/runner.h"
#include "methods/tables.h"

using namespace plumb;
using namespace plumb::methods;

TEST_CASE("mixup table: every variant measures both sets, and no two are the same") {
  const Method& table = find_table("mixup");
  CHECK(table.slug == "mixup_table");
  CHECK(folder_of(table) == "regularization/table_mixup");
  Experiment e = table.experiment();
  Results results = run_experiment(table, {.budget = Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == e.variants.size());
  std::set<std::vector<double>> all;
  for (const CellResult& cell : results.cells) {
    CAPTURE(cell.variant);
    std::vector<double> values;
    for (auto& [name, value] : cell.measured.metrics) values.push_back(value);
    REQUIRE(values.size() == 6);
    for (size_t k : {size_t{0}, size_t{3}}) CHECK((values[k] > 0 && values[k] <= 100));
    for (size_t k : {size_t{1}, size_t{4}}) CHECK((values[k] > 0 && values[k] < 10));
    for (size_t k : {size_t{2}, size_t{5}}) CHECK((values[k] >= 0 && values[k] <= 100));
    all.insert(values);
  }
  CHECK(all.size() == e.variants.size());
  CHECK(effect(e, results).empty());  // a table is no one method's
}
