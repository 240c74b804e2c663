// The common table of continual learning: every variant learns both streams of both sets, and is the same when gone on with.
#include <doctest/doctest.h>

#include <map>

#include "methods/runner.h"
#include "methods/tables.h"
#include "tests/scratch.h"

using namespace plumb;
using namespace plumb::methods;

TEST_CASE("continual table: every variant learns both streams of both sets, and is the same when gone on with") {
  const Method& table = find_table("continual");
  Experiment e = table.experiment();
  Results whole = run_experiment(table, {.budget = Budget::smoke, .seeds = 1});
  REQUIRE(whole.cells.size() == e.variants.size());
  std::map<std::string, std::map<std::string, double>> measured;
  std::map<std::string, std::vector<double>> in_order;
  for (const CellResult& cell : whole.cells) {
    CAPTURE(cell.variant);
    REQUIRE(cell.measured.metrics.size() == e.metrics.size());
    for (const auto& [name, value] : cell.measured.metrics) {
      CAPTURE(name);
      CHECK((value >= (name.find("points") == std::string::npos ? 0 : -100) && value <= 100));
      measured[cell.variant][name] = value;
      in_order[cell.variant].push_back(value);
    }
    auto& m = measured[cell.variant];
    for (std::string s : {"classes", "tasks"})
      CHECK(m.at("final accuracy, " + s + " (%)") ==
            doctest::Approx((m.at("final accuracy, digits " + s + " (%)") + m.at("final accuracy, colour " + s + " (%)")) / 2));
    CHECK(m.at("final accuracy, digits tasks (%)") > 30);  // 50 % is chance where the task is told
    CHECK(cell.measured.curves.size() == 4);
  }
  for (const Variant& v : e.variants)
    if (v.name != "fine-tuning") CHECK(measured.at(v.name) != measured.at("fine-tuning"));

  plumb_test::Scratch scratch;
  run_experiment(table, {.budget = Budget::smoke, .seeds = 1, .variants = {"replay"}, .out = scratch.path("run")});
  Results more = run_experiment(table, {.budget = Budget::smoke, .seeds = 1, .variants = {"replay", "VOR"}, .out = scratch.path("run")});
  REQUIRE(more.cells.size() == 2);
  for (const CellResult& cell : more.cells)
    for (size_t k = 0; k < cell.measured.metrics.size(); ++k) CHECK(cell.measured.metrics[k].second == in_order.at(cell.variant)[k]);
}
