// The common table for domain shift: every method on both sets, from the same start.
#include <doctest/doctest.h>

#include <map>

#include "methods/runner.h"
#include "methods/tables.h"
#include "tests/methods/measured.h"

using namespace plumb;
using namespace plumb::methods;

TEST_CASE("domain-shift table: every variant measures both sets, and no two learn the same") {
  const Method& table = find_table("domain_shift");
  CHECK(folder_of(table) == "robust/table_domain_shift");
  Experiment e = table.experiment();
  CHECK(e.method.empty());
  Results whole = run_experiment(table, {.budget = Budget::smoke, .seeds = 1});
  REQUIRE(whole.cells.size() == 10);
  for (const CellResult& cell : whole.cells) {
    CAPTURE(cell.variant);
    REQUIRE(cell.measured.metrics.size() == 5);
    for (const auto& [name, accuracy] : cell.measured.metrics) CHECK((accuracy >= 0 && accuracy <= 100));
    bool angles = false;
    for (const Curve& c : cell.measured.curves) angles = angles || (c.x_label == "degrees" && c.x.size() == 6);
    CHECK(angles);
  }
  auto learned = [&](const CellResult& cell) {
    std::vector<double> all;
    for (const Curve& c : cell.measured.curves) all.insert(all.end(), c.y.begin(), c.y.end());
    return all;
  };
  for (size_t a = 0; a < whole.cells.size(); ++a)
    for (size_t b = 0; b < a; ++b) {
      CAPTURE(whole.cells[a].variant);
      CAPTURE(whole.cells[b].variant);
      CHECK(learned(whole.cells[a]) != learned(whole.cells[b]));
    }
  CHECK(measured(whole, "ERM", "coloured digits: training (%)") > 60);  // colour is an easy rule
  Results alone = run_experiment(table, {.budget = Budget::smoke, .seeds = 1, .variants = {"HGP"}});
  CHECK(learned(alone.cells[0]) == learned(whole.cells.back()));  // whichever variants ran before
}
