// `plumb methods`, `plumb run` and `plumb report` as a user meets them.
#include <doctest/doctest.h>

#include <algorithm>

#include "methods/tables.h"
#include "tests/tools/run_command.h"

TEST_CASE("plumb methods: lists every method with its claim; --json a line each") {
  Outcome text = run_plumb("methods"), json = run_plumb("methods --json");
  CHECK(text.code == 0);
  CHECK(json.code == 0);
  CHECK(std::count(json.out.begin(), json.out.end(), '\n') == static_cast<long>(plumb::methods::shelf().size()));
  for (const auto& m : plumb::methods::shelf()) {
    CAPTURE(m.slug);
    CHECK(text.out.find(m.experiment().claim) != std::string::npos);
    CHECK(json.out.find("{\"slug\":\"" + std::string(m.slug) + "\"") != std::string::npos);
  }
}

TEST_CASE("plumb methods: a further experiment is listed with its method, and not counted as one") {
  using namespace plumb::methods;
  const Method& further = find_method("mam_likelihood");
  REQUIRE(method_of(further) != nullptr);
  CHECK(method_of(further)->slug == "mam");
  CHECK(method_of(find_method("mam")) == nullptr);
  CHECK(count_methods() < static_cast<int64_t>(shelf().size()));
  std::string text = run_plumb("methods").out;
  CHECK(text.find("a further experiment of mam\n") != std::string::npos);
  CHECK(text.ends_with(std::to_string(count_methods()) + " methods, " + std::to_string(shelf().size()) + " experiments\n"));
  CHECK(run_plumb("methods --json").out.find("\"experiment_of\":\"mam\"") != std::string::npos);
}

TEST_CASE("plumb run: bad input is one line, and nothing is made") {
  plumb_test::Scratch scratch;
  Outcome unknown = run_plumb("run no-such-method --out " + scratch.path("x"));
  CHECK(unknown.code == 2);
  CHECK(unknown.err == "plumb: run: there is no method \"no-such-method\"; `plumb methods` lists them\n");
  CHECK_FALSE(scratch.has("x"));
  if (plumb::methods::shelf().empty()) return;
  std::string slug(plumb::methods::shelf()[0].slug);
  Outcome budget = run_plumb("run " + slug + " --budget huge --out " + scratch.path("x"));
  CHECK(budget.err == "plumb: run: --budget must be smoke, default or full, it is \"huge\"\n");
  CHECK(run_plumb("run " + slug + " --seeds 0 --out " + scratch.path("x")).err == "plumb: run: --seeds must be at least 1, it is 0\n");
  CHECK_FALSE(scratch.has("x"));
}

TEST_CASE("plumb run: ends in a table and leaves results that plumb report finds") {
  if (plumb::methods::shelf().empty()) return;
  plumb_test::Scratch scratch;
  const auto& method = plumb::methods::shelf()[0];
  std::string slug(method.slug), place = "methods/" + std::string(method.family) + "/" + slug;
  Outcome run = run_plumb("run " + slug + " --budget smoke --seeds 2 --out " + scratch.path("run"));
  CAPTURE(run.err);
  REQUIRE(run.code == 0);
  for (const auto& variant : method.experiment().variants) CHECK(run.out.find(variant.name) != std::string::npos);
  CHECK(scratch.has("run/report.html"));
  scratch.put(place + "/results.json", scratch.get("run/results.json"));
  scratch.put("RESULTS.md", "# Results\n\nBy hand.\n");
  Outcome report = run_plumb("report --source " + scratch.path() + " --html " + scratch.path("all.html"));
  CAPTURE(report.err);
  REQUIRE(report.code == 0);
  std::string once = scratch.get("RESULTS.md");
  CHECK(once.starts_with("# Results\n\nBy hand.\n\n<!--"));
  CHECK(once.find(method.experiment().claim) != std::string::npos);
  run_plumb("report --source " + scratch.path() + " --html " + scratch.path("all.html"));
  CHECK(scratch.get("RESULTS.md") == once);
  CHECK(scratch.get("all.html").find("<table>") != std::string::npos);
  CHECK(run_plumb("report --source " + scratch.path("run")).code == 2);
}

TEST_CASE("plumb run --table: a common table, which plumb report shows after the methods") {
  plumb_test::Scratch scratch;
  Outcome run =
      run_plumb("run --table semi_supervised --budget smoke --seeds 2 --variants supervised FixMatch --out " + scratch.path("run"));
  CAPTURE(run.err);
  REQUIRE(run.code == 0);
  CHECK(run.out.find("colour images, 25 labels a class (%)") != std::string::npos);
  CHECK(run.out.find("measured:") == std::string::npos);
  scratch.put("methods/semi_supervised/table_semi_supervised/results.json", scratch.get("run/results.json"));
  scratch.put("RESULTS.md", "# Results\n");
  Outcome report = run_plumb("report --source " + scratch.path() + " --html " + scratch.path("all.html"));
  CHECK(report.out.find("1 of " + std::to_string(plumb::methods::tables().size()) + " common tables have results") != std::string::npos);
  std::string results = scratch.get("RESULTS.md");
  CHECK(results.find("# Common tables\n\n## Semi-supervised learning: one table") != std::string::npos);
  CHECK(results.find("`plumb run --table semi_supervised --seeds 2 --budget smoke --variants \"supervised\" \"FixMatch\"`") !=
        std::string::npos);
  CHECK(results.find("[more](methods/semi_supervised/table_semi_supervised/README.md)") != std::string::npos);
  CHECK(scratch.get("all.html").find("id='semi_supervised_table'") != std::string::npos);

  CHECK(run_plumb("run --out " + scratch.path("x")).err ==
        "plumb: run: give a method's slug (`plumb methods` lists them), or --table NAME\n");
  std::string none = run_plumb("run --table astrology").err;
  CHECK(none.starts_with("plumb: run: there is no common table \"astrology\"; there are "));
  for (const auto& t : plumb::methods::tables()) CHECK(none.find(name_of_table(t)) != std::string::npos);
  Outcome both = run_plumb("run shrinkmatch --table semi_supervised --out " + scratch.path("x"));
  CHECK(both.code == 2);
  CHECK(both.err.find("--table") != std::string::npos);
  CHECK_FALSE(scratch.has("x"));
}
