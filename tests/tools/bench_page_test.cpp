// The page of `plumb bench`: from a tiny run beside a peer that makes its times up, and from stored rows. Nothing timed is looked at.
#include "tools/bench/page.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "engine/core/error.h"
#include "tests/tools/run_command.h"
#include "tools/bench/charts.h"

using namespace plumb;
using namespace plumb::tools;
using plumb_test::Scratch;

namespace {

bool has(const std::string& page, const std::string& text) { return page.find(text) != std::string::npos; }

size_t count(const std::string& page, const std::string& text) {
  size_t found = 0;
  for (size_t at = page.find(text); at != std::string::npos; at = page.find(text, at + 1)) ++found;
  return found;
}

const char* const kRows =
    R"({"bench":"environment","command":"plumb bench all <here>","date":"2026-01-02 03:04 UTC","processor":"A & B","cores":2}
{"bench":"ceiling","what":"copy that moves 8 MB","gb_per_s":100}
{"bench":"ceiling","what":"product f32","gflop_per_s":200}
{"bench":"kernels","kernel":"softmax","shape":"8x8","dtype":"f32","side":"plumb","peer":"plumb 0.1.0","us":40,"us_95":[39,41],"gflop_per_s":125,"gb_per_s":50,"flops":5e6,"bytes":2e6,"bound":"memory","share_of_ceiling":0.5}
{"bench":"kernels","kernel":"softmax","shape":"8x8","dtype":"f32","side":"plain","peer":"plain","us":200,"us_95":[190,210],"gb_per_s":10,"flops":5e6,"bytes":2e6,"bound":"memory","share_of_ceiling":0.1,"ratio":5,"ratio_95":[4.9,5.1]}

{"bench":"steps","work":"gpt-small","peer":"plumb 0.1.0","side":"plumb","dtype":"f32","threads":2,"step_s":0.3,"step_s_95":[0.29,0.31],"over_import_mib":100}
{"bench":"steps","work":"gpt-small","peer":"torch 2","side":"torch compiled","dtype":"f32","threads":2,"step_s":0.6,"step_s_95":[0.5,0.7],"over_import_mib":200,"ratio":2,"ratio_95":[1.9,2.1],"memory_ratio":0.5}
{"bench":"profile","work":"gpt","kernel":"matmul","ms":90,"share":0.9,"calls":75}
{"bench":"profile","work":"gpt","ms":100,"share":0.97}
{"bench":"scaling","axis":"length","sizes":[1,2],"seconds":[0.001,0.004],"exponent":2,"exponent_95":[1.9,2.1],"theory":1.5}
)";

}  // namespace

TEST_CASE("bench page: what every kind of row says is there, and nothing is loaded from elsewhere") {
  std::string page = bench_page(parse_rows(kRows, "stored"));
  CHECK(has(page, "plumb bench all &lt;here&gt;"));
  CHECK(has(page, "A &amp; B"));
  CHECK(has(page, "torch 2 compiled"));
  CHECK(has(page, "<td>0.3000 [0.2900, 0.3100]</td>"));
  CHECK(has(page, "<td>2.00 [1.90, 2.10]</td>"));
  CHECK(has(page, "Roofline"));
  CHECK(has(page, "<circle"));
  CHECK(has(page, "of which kernels account for 97.0 %"));
  CHECK(has(page, "1: 1.00 ms, 2: 4.00 ms"));
  CHECK(count(page, "<rect") == 2 + 1 + 1);  // two sides of a step, a kernel's share, a profile's kernel
  CHECK_FALSE(has(page, "http"));
  CHECK_FALSE(has(page, "<script"));
  CHECK_FALSE(has(page, "src="));
}

TEST_CASE("bench page: a line that is no row is named by its number") {
  CHECK_THROWS_WITH_AS(parse_rows("{\"bench\":\"steps\"}\n{\"work\":\"gpt\"}\n", "r.jsonl"),
                       "r.jsonl, line 2: no row of plumb bench --json: it has no \"bench\"", ConfigError);
  CHECK_THROWS_AS(parse_rows("nothing\n", "r.jsonl"), ConfigError);
  CHECK_THROWS_WITH_AS(parse_rows("\n", "r.jsonl"), "r.jsonl has no rows", ConfigError);
}

TEST_CASE("bench page: bars begin at zero and end in proportion") {
  std::string bars = bar_chart("t", {{"a", "1", 1}, {"b", "2", 2, 1.5, 2.5, false}});
  // 400 pixels hold the largest end of an interval, 2.5.
  CHECK(has(bars, "width='160.0'"));
  CHECK(has(bars, "width='320.0'"));
  CHECK(has(bars, "x1='430.0' x2='590.0'"));
  CHECK(bar_chart("t", {}).empty());
}

TEST_CASE("bench steps --html: the page of a tiny run beside a peer") {
  Scratch scratch;
  scratch.put("peer.sh", R"(#!/bin/sh
echo '{"work":"gpt-tiny","unit":"tokens","items":32,"params":30144,"peer":"fake 1.0","device":"cpu","dtype":"f32","compile":false,"threads":1,"optimiser":"plain"}'
while read steps; do echo '{"step_s":[2]}'; done
echo '{"peak_mib":300,"over_import_mib":100}'
)");
  std::filesystem::permissions(scratch.path("peer.sh"), std::filesystem::perms::owner_all);
  Outcome o = run_plumb("bench steps --size tiny --only gpt --rounds 2 --steps 1 --winograd off --against " + scratch.path("peer.sh") +
                        " --json --html " + scratch.path("page.html"));
  REQUIRE_MESSAGE(o.code == 0, o.err);
  std::string page = scratch.get("page.html");
  CHECK(has(page, "fake 1.0 (peer.sh)"));
  CHECK(has(page, ", Winograd off"));
  CHECK(has(page, "gpt-tiny: seconds a step"));
  scratch.put("rows.jsonl", o.out);
  o = run_plumb("bench page " + scratch.path("rows.jsonl") + " --html " + scratch.path("again.html"));
  REQUIRE_MESSAGE(o.code == 0, o.err);
  CHECK(scratch.get("again.html") == page);
}

TEST_CASE("bench steps --html: a page that cannot be written is said before anything is measured") {
  Outcome o = run_plumb("bench steps --size tiny --html /nowhere/page.html");
  CHECK(o.code == 2);
  CHECK(o.out.empty());
  CHECK(has(o.err, "/nowhere/page.html"));
}

TEST_CASE("bench steps --profile: rows of kernels, and what they account for together") {
  Outcome o = run_plumb("bench steps --profile --size tiny --only gpt --steps 1 --json");
  REQUIRE_MESSAGE(o.code == 0, o.err);
  double accounted = 0, total = 0;
  for (const JsonObject& row : parse_rows(o.out, "profile")) {
    double share = 0;
    row.read("share", share);
    if (row.contains("kernel")) accounted += share;
    else if (row.contains("share")) total = share;
  }
  CHECK(accounted == doctest::Approx(total));
  CHECK(total > 0);
  CHECK(total <= 1);
}

TEST_CASE("bench scaling: one thread and all, and a name that is unknown") {
  Outcome o = run_plumb("bench scaling --only threads --size tiny --rounds 1 --json");
  REQUIRE_MESSAGE(o.code == 0, o.err);
  CHECK(parse_rows(o.out, "scaling").size() == 1 + 2 * 4);
  o = run_plumb("bench scaling --only depth");
  CHECK(o.code == 2);
  CHECK(o.err == "plumb: bench scaling: --only depth is unknown; choose from length, width, batch, experts, threads\n");
}
