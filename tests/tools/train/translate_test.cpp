// `plumb train translate` and `plumb translate`, as a user runs them; a few steps only.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "tests/tools/run_command.h"

using plumb_test::Scratch;

TEST_CASE("train translate: trains, measures, resumes to the same model, and translates") {
  Scratch scratch;
  std::string options =
      " --digits 2 --layers 1 --decoder-layers 1 --width 16 --inner 16 --heads 2 --batch 16 --eval-every 10 --warmup 2 --checkpoint-every "
      "10";
  Outcome o = run_plumb("train translate --out " + scratch.path("run") + options + " --steps 20");
  INFO(o.err);
  REQUIRE(o.code == 0);
  Outcome eval = run_plumb("eval " + scratch.path("run"));
  REQUIRE(eval.code == 0);
  auto measured = nlohmann::json::parse(eval.out);
  CHECK(measured["pairs"] == 500);
  CHECK(measured["exact"] >= 0.0);
  Outcome t = run_plumb("translate " + scratch.path("run") + " 'twenty one' seven");
  CHECK(t.code == 0);
  CHECK(std::count(t.out.begin(), t.out.end(), '\n') == 2);
  Outcome bad = run_plumb("translate " + scratch.path("run") + " 'twenty wun'");
  CHECK(bad.code == 2);
  CHECK(bad.err == "plumb: translate: number_pairs: \"wun\" is no number word\n");
  // A second run of the same settings is the same model, bit for bit.
  REQUIRE(run_plumb("train translate --out " + scratch.path("again") + options + " --steps 20").code == 0);
  CHECK(scratch.get("run/model.safetensors") == scratch.get("again/model.safetensors"));
}

TEST_CASE("train translate: options out of range are named") {
  Scratch scratch;
  Outcome o = run_plumb("train translate --digits 13 --out " + scratch.path("run"));
  CHECK(o.code == 2);
  CHECK(o.err == "plumb: train translate: --digits must lie between 1 and 12, it is 13\n");
  CHECK_FALSE(scratch.has("run"));
}
