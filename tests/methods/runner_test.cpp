// Experiments run cell by cell, are stored, go on after a stop, and fail with the name of what is wrong.
#include "methods/runner.h"

#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <limits>

#include "engine/core/error.h"
#include "engine/core/generator.h"
#include "methods/page.h"
#include "ops/create.h"
#include "tests/scratch.h"

using namespace plumb;
using namespace plumb::methods;

namespace {

int runs = 0, shared_made = 0;

// "plain" measures the seed, "better" two more and a little of the seed's own noise.
Experiment toy() {
  return {.title = "Toy",
          .paper = "Nobody, 2026",
          .claim = "two more than plain",
          .metrics = {{"score", Better::higher}, {"error", Better::lower}},
          .variants = {{"plain", "the baseline"}, {"better", "two more"}},
          .baseline = "plain",
          .method = "better",
          .run = [](Cell& cell) {
            ++runs;
            auto noise = cell.shared("noise", [] {
              ++shared_made;
              return default_generator().next_double();
            });
            double seed = static_cast<double>(cell.seed());
            for (int i = 0; i < 3; ++i) cell.point("score against steps", "step", i, i * (cell.is("better") ? 2 : 1) + *noise);
            cell.picture("a grey square", full({4, 4, 1}, 128, u8));
            cell.picture("a clip", full({3, 4, 4, 1}, 128, u8));
            cell.metric("score", cell.is("better") ? seed + 2 + *noise : seed);
            cell.metric("error", default_generator().next_double());
          }};
}

Experiment undeclared() {
  Experiment e = toy();
  e.run = [](Cell& cell) { cell.metric("scores", 1); };
  return e;
}

Experiment incomplete() {
  Experiment e = toy();
  e.run = [](Cell& cell) { cell.metric("score", 1); };
  return e;
}

// Stops in the second cell, once.
bool stop_once = false;
Experiment stopping() {
  Experiment e = toy();
  auto whole = e.run;
  e.run = [whole](Cell& cell) {
    if (cell.is("better") && std::exchange(stop_once, false)) throw Interrupted();
    whole(cell);
  };
  return e;
}

const Method kToy{"none", "toy", &toy, {}};

double metric(const Results& r, size_t cell, size_t which) { return r.cells[cell].measured.metrics[which].second; }

}  // namespace

TEST_CASE("run_experiment: every variant with every seed, in order") {
  Results r = run_experiment(kToy, {.seeds = 3});
  REQUIRE(r.cells.size() == 6);
  CHECK(r.cells[3].variant == "better");
  CHECK(r.cells[3].seed == 1);
  CHECK(metric(r, 4, 0) == 2);
  CHECK(r.seeds() == std::vector<uint64_t>{0, 1, 2});
  Results later = run_experiment(kToy, {.seeds = 2, .first_seed = 1});
  CHECK(later.seeds() == std::vector<uint64_t>{1, 2});
  CHECK(metric(later, 0, 1) == metric(r, 2, 1));
}

TEST_CASE("run_experiment: variants of a seed share what is made once, and draw the same numbers") {
  shared_made = 0;
  Results r = run_experiment(kToy, {.seeds = 2});
  CHECK(shared_made == 2);
  CHECK(metric(r, 0, 1) == metric(r, 1, 1));
  CHECK(metric(r, 0, 1) != metric(r, 2, 1));
  Results alone = run_experiment(kToy, {.seeds = 2, .variants = {"better"}});
  CHECK(metric(alone, 0, 0) == metric(r, 1, 0));  // whichever variant made it
  CHECK(metric(alone, 0, 1) == metric(r, 1, 1));
}

TEST_CASE("run_experiment: goes on from the finished cells, with the same numbers") {
  plumb_test::Scratch scratch;
  Method method{"none", "toy", &stopping, {}};
  stop_once = true;
  CHECK_THROWS_AS(run_experiment(method, {.seeds = 2, .out = scratch.path("run")}), Interrupted);
  runs = 0;
  Results r = run_experiment(method, {.seeds = 2, .out = scratch.path("run")});
  CHECK(runs == 3);
  Results whole = run_experiment(kToy, {.seeds = 2});
  for (size_t i = 0; i < 4; ++i) CHECK(metric(r, i, 0) == metric(whole, i, 0));
  Results more = run_experiment(method, {.seeds = 3, .out = scratch.path("run")});
  CHECK(more.cells.size() == 6);
  CHECK(runs == 3 + 4 + 2);
}

TEST_CASE("run_experiment: a line that was cut off is run again") {
  plumb_test::Scratch scratch;
  run_experiment(kToy, {.seeds = 1, .out = scratch.path("run")});
  std::string cells = scratch.get("run/cells.jsonl");
  scratch.put("run/cells.jsonl", cells.substr(0, cells.size() - 10));
  runs = 0;
  Results r = run_experiment(kToy, {.seeds = 1, .out = scratch.path("run")});
  CHECK(runs == 1);
  CHECK(r.cells.size() == 2);
  CHECK(scratch.get("run/cells.jsonl").size() == cells.size());
}

TEST_CASE("run_experiment: what is wrong is named") {
  plumb_test::Scratch scratch;
  CHECK_THROWS_WITH_AS(run_experiment(kToy, {.seeds = 1, .device = {DeviceType::cuda, 0}}),
                       "toy's experiment computes on the CPU alone; leave --device cuda:0 out", ConfigError);
  CHECK_THROWS_WITH_AS(run_experiment(kToy, {.first_seed = -1}), "--first-seed must be at least 0, it is -1", ConfigError);
  CHECK_THROWS_WITH_AS(run_experiment(kToy, {.seeds = 0}), "--seeds must be at least 1, it is 0", ConfigError);
  CHECK_THROWS_WITH_AS(run_experiment(kToy, {.variants = {"worse"}}), "there is no variant \"worse\"; there are \"plain\", \"better\"",
                       ConfigError);
  CHECK_THROWS_WITH_AS(run_experiment({"none", "toy", &undeclared, {}}, {.seeds = 1}),
                       "plain measured \"scores\", which the experiment does not declare", ValueError);
  CHECK_THROWS_WITH_AS(run_experiment({"none", "toy", &incomplete, {}}, {.seeds = 1}), "plain did not measure \"error\"", ValueError);
  run_experiment(kToy, {.budget = Budget::smoke, .seeds = 1, .out = scratch.path("run")});
  CHECK_THROWS_AS(run_experiment(kToy, {.seeds = 1, .out = scratch.path("run")}), ConfigError);
  scratch.put("full/notes.txt", "keep me");
  CHECK_THROWS_AS(run_experiment(kToy, {.seeds = 1, .out = scratch.path("full")}), ConfigError);
  CHECK(scratch.get("full/notes.txt") == "keep me");
}

TEST_CASE("results: a curve needs as many y as x; it was read beyond its end") {
  CHECK_THROWS_WITH_AS(CellResult::from_json(R"({"variant":"a","curves":[{"chart":"loss","x":[1,2,3],"y":[1]}]})", "cell"),
                       doctest::Contains("the curve \"loss\" has 3 x and 1 y"), ConfigError);
}

TEST_CASE("results: the same after storing, but for curves, which become their means") {
  Results r = run_experiment(kToy, {.seeds = 3, .command = "plumb run toy", .machine = "a machine"});
  Results back = Results::from_json(r.to_json(), "toy");
  CHECK(back.cells.size() == 6);
  CHECK(back.slug == "toy");
  CHECK(back.command == "plumb run toy");
  for (size_t i = 0; i < 6; ++i) CHECK(metric(back, i, 0) == metric(r, i, 0));
  auto before = mean_curves(r), after = mean_curves(back);
  REQUIRE(after.size() == 2);
  for (size_t i = 0; i < 2; ++i)
    for (size_t k = 0; k < 3; ++k) CHECK(after[i].curve.y[k] == doctest::Approx(before[i].curve.y[k]).epsilon(1e-4));
  CHECK_THROWS_AS(Results::from_json("{}", "toy"), ConfigError);
}

TEST_CASE("results: what is not finite stores and reads back: points as gaps, metrics as failures") {
  Cell cell("plain", 0, Budget::smoke);
  for (double y : {1.0, std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN(), 4.0})
    cell.point("chart", "step", y, y);
  cell.metric("score", std::numeric_limits<double>::quiet_NaN());
  Results r{.slug = "toy", .cells = {{"plain", 0, 1, cell.measured()}}};
  CellResult line = CellResult::from_json(r.cells[0].to_json(), "cells.jsonl");
  Results back = Results::from_json(r.to_json(), "toy");
  CHECK(line.measured.curves[0].y == std::vector<double>{1, 4});
  CHECK(mean_curves(back)[0].curve.y == std::vector<double>{1, 4});
  CHECK(std::isnan(metric(back, 0, 0)));
}

TEST_CASE("table: differences are taken seed by seed, and a failed seed fails its variant") {
  Results r{.slug = "toy", .cells = {}};
  auto cell = [&](const char* variant, uint64_t seed, double score) {
    r.cells.push_back({variant, seed, 1.5, {{{"score", score}, {"error", 0}}, {}, {}}});
  };
  cell("plain", 0, 10), cell("better", 0, 12), cell("plain", 1, 20), cell("better", 1, 22.2), cell("plain", 2, 30), cell("better", 2, 31.8);
  std::vector<Row> rows = table(toy(), r);
  REQUIRE(rows.size() == 2);
  CHECK(rows[1].values[0].mean == doctest::Approx(22));
  CHECK(rows[1].differences[0].mean == doctest::Approx(2));
  CHECK(rows[1].differences[0].half_width == doctest::Approx(4.30265272975 * 0.2 / std::sqrt(3.0)));
  CHECK(effect(toy(), r) == "+2.00 ± 0.50 score against plain, 3 seeds");
  cell("better", 3, std::numeric_limits<double>::quiet_NaN());
  CHECK(effect(toy(), r) == "failed score against plain, 4 seeds");
  CHECK(table_markdown(toy(), r).starts_with("| variant | score ↑ | against plain | error ↓ | against plain | time |\n|---|---:|"));
  Experiment bars = toy();
  bars.metrics[0].name = "|score|";
  CHECK(table_markdown(bars, r).starts_with("| variant | \\|score\\| ↑ |"));
}

TEST_CASE("table_text: a block for each metric, columns in line whatever letters names have") {
  Experiment e = toy();
  e.variants[1].name = e.method = "λ = 2";
  Results r{.slug = "toy", .cells = {}};
  for (uint64_t seed : {0, 1})
    for (const char* variant : {"plain", "λ = 2"})
      r.cells.push_back({variant, seed, 1.5, {{{"score", variant[0] == 'p' ? 1.0 : 3.0}, {"error", 0.5}}, {}, {}}});
  CHECK(table_text(e, r).starts_with("score ↑\n  plain               1 ± 0\n  λ = 2               3 ± 0                +2 ± 0\nerror ↓\n"));
}

TEST_CASE("picture_file: a variant's name is never the beginning of another's") {
  CHECK(picture_file("CT", "samples, 1 step") == "pictures/ct--samples-1-step.png");
  CHECK(picture_file("CT, no EMA", "samples, 1 step") == "pictures/ct-no-ema--samples-1-step.png");
}

TEST_CASE("format: as many digits as the half-width carries two of") {
  CHECK(format({71.3187, 0.4512}) == "71.32 ± 0.45");
  CHECK(format({71.3187, 12.3}) == "71 ± 12");
  CHECK(format({0.012345, 0.00021}, true) == "+0.01235 ± 0.00021");
  CHECK(format({-3, std::numeric_limits<double>::quiet_NaN()}, true) == "-3");
  CHECK(format({std::numeric_limits<double>::quiet_NaN(), 0}) == "failed");
  CHECK(format({1.5e-9, 2e-10}) == "1.5e-09 ± 2e-10");
  CHECK(format({20, 0}) == "20 ± 0");
  CHECK(format({0, 0}, true) == "+0 ± 0");
}

TEST_CASE("write_results: a page with table, charts and pictures, and results that read back") {
  plumb_test::Scratch scratch;
  Results r = run_experiment(kToy, {.seeds = 2, .out = scratch.path("run")});
  write_results(kToy, r, scratch.path("run"));
  std::string page = scratch.get("run/report.html");
  CHECK(page.find("two more than plain") != std::string::npos);
  CHECK(page.find("<svg") != std::string::npos);
  CHECK(page.find("data:image/png;base64,") != std::string::npos);
  CHECK(scratch.has("run/pictures/better--a-grey-square.png"));
  CHECK(scratch.get("run/pictures/better--a-clip.png").find("acTL") != std::string::npos);  // animated
  CHECK(scratch.get("run/pictures/better--a-grey-square.png").find("acTL") == std::string::npos);
  CHECK(Results::from_json(scratch.get("run/results.json"), "results.json").cells.size() == 4);
}

TEST_CASE("find_method: an unknown slug is named") { CHECK_THROWS_AS(find_method("no-such-method"), ConfigError); }
