// The common table of the semi-supervised methods: the same problem for every variant, gone on with cell by cell.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>

#include "methods/runner.h"
#include "methods/tables.h"
#include "tests/scratch.h"

using namespace plumb;
using namespace plumb::methods;

namespace plumb::methods::semi_supervised_table {
Experiment experiment();
}

TEST_CASE("semi-supervised table: every variant measures every set and number of labels, and is the same when gone on with") {
  const Method& table = find_table("semi_supervised");
  Experiment e = table.experiment();
  Results whole = run_experiment(table, {.budget = Budget::smoke, .seeds = 1});
  REQUIRE(whole.cells.size() == e.variants.size());
  std::map<std::string, std::vector<double>> measured;
  for (const CellResult& cell : whole.cells) {
    for (auto& [name, value] : cell.measured.metrics) measured[cell.variant].push_back(value);
    REQUIRE(measured[cell.variant].size() == 4);
    for (double accuracy : measured[cell.variant]) CHECK((accuracy > 0 && accuracy <= 100));
    bool uses_unlabelled = std::ranges::any_of(cell.measured.curves, [](const Curve& c) { return c.chart.starts_with("unlabelled"); });
    CHECK(uses_unlabelled == (cell.variant != "supervised"));
  }
  for (const Variant& v : e.variants)
    if (v.name != "supervised") CHECK(measured[v.name] != measured["supervised"]);

  plumb_test::Scratch scratch;
  run_experiment(table, {.budget = Budget::smoke, .seeds = 1, .variants = {"supervised"}, .out = scratch.path("run")});
  Results more =
      run_experiment(table, {.budget = Budget::smoke, .seeds = 1, .variants = {"supervised", "ShrinkMatch"}, .out = scratch.path("run")});
  REQUIRE(more.cells.size() == 2);
  for (size_t k = 0; k < 4; ++k) {
    CHECK(more.cells[0].measured.metrics[k].second == measured["supervised"][k]);
    CHECK(more.cells[1].measured.metrics[k].second == measured["ShrinkMatch"][k]);
  }
  CHECK(effect(e, whole).empty());  // a table is no one method's
  CHECK(table_text(e, whole).find("handwritten digits, 4 labels a class (%)") != std::string::npos);
}
