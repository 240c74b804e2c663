// The common table of label noise: every variant on every set and noise, each its own training, and the same when gone on with.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>

#include "methods/runner.h"
#include "methods/tables.h"
#include "tests/scratch.h"

using namespace plumb;
using namespace plumb::methods;

TEST_CASE("label noise table: every variant measures both sets at every noise, and is the same when gone on with") {
  const Method& table = find_table("label_noise");
  Experiment e = table.experiment();
  Results whole = run_experiment(table, {.budget = Budget::smoke, .seeds = 1});
  REQUIRE(whole.cells.size() == e.variants.size());
  std::map<std::string, std::vector<double>> measured;
  for (const CellResult& cell : whole.cells) {
    CAPTURE(cell.variant);
    for (auto& [name, value] : cell.measured.metrics) measured[cell.variant].push_back(value);
    const auto& all = measured[cell.variant];
    REQUIRE(all.size() == 13);
    double total = 0;
    for (double accuracy : all) {
      CHECK((accuracy >= 0 && accuracy <= 100));
      total += accuracy;
    }
    CHECK(total - all.back() == doctest::Approx(12 * all.back()));  // the last is the mean of the others
  }
  CHECK(measured["cross entropy"][0] > 12);  // digits at 20 %: a few steps
  for (const Variant& v : e.variants)
    if (v.name != "cross entropy" && v.name != "early stopping") CHECK(measured[v.name] != measured["cross entropy"]);

  plumb_test::Scratch scratch;
  run_experiment(table, {.budget = Budget::smoke, .seeds = 1, .variants = {"mixup"}, .out = scratch.path("run")});
  Results more =
      run_experiment(table, {.budget = Budget::smoke, .seeds = 1, .variants = {"mixup", "early stopping"}, .out = scratch.path("run")});
  REQUIRE(more.cells.size() == 2);
  for (const CellResult& cell : more.cells)
    for (size_t k = 0; k < 13; ++k) CHECK(cell.measured.metrics[k].second == measured[cell.variant][k]);
}
