// `plumb train vit`: a few steps on the carried digits.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "tests/tools/run_command.h"

using plumb_test::Scratch;

TEST_CASE("train vit: learns the carried digits, with --recompute bit for bit the same, and is measured") {
  Scratch scratch;
  std::string options =
      " --data digits --patch 2 --layers 2 --width 32 --inner 64 --heads 2 --batch 64 --steps 60 --eval-every 30 --warmup 5 --lr 3e-3 "
      "--dropout 0.1";
  Outcome o = run_plumb("train vit --out " + scratch.path("run") + options);
  INFO(o.err);
  REQUIRE(o.code == 0);
  Outcome eval = run_plumb("eval " + scratch.path("run"));
  REQUIRE(eval.code == 0);
  CHECK(nlohmann::json::parse(eval.out)["accuracy"] > 0.4);  // chance is 0.1; it reached 0.53
  REQUIRE(run_plumb("train vit --out " + scratch.path("again") + options + " --recompute").code == 0);
  CHECK(scratch.get("run/model.safetensors") == scratch.get("again/model.safetensors"));
  Outcome bad = run_plumb("train vit --out " + scratch.path("bad") + " --data digits --patch 3");
  CHECK(bad.code == 2);
  CHECK(bad.err == "plumb: train vit: --patch 3 does not divide the images, 8 × 8; choose one of 1, 2, 4, 8\n");
}
