// `plumb train segment` as a user meets it: a small run on rendered shapes.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "engine/io/file.h"
#include "engine/io/image.h"
#include "models/train/metrics.h"
#include "tests/tools/stop_midway.h"

using namespace plumb;

TEST_CASE("train segment: learns where shapes are, measures every class in the end, and can be evaluated") {
  plumb_test::Scratch scratch;
  std::string out = scratch.path("run");
  std::string options =
      " --size 32 --images 256 --validation 16 --test 24 --width 16 --batch 8 --steps 200 --warmup 10 --eval-every 50 --noise 0 "
      "--weight-decay 0";
  Outcome o = run_plumb("train segment --out " + out + options);
  REQUIRE_MESSAGE(o.code == 0, o.err);
  auto lines = train::read_metrics(out + "/metrics.jsonl");
  auto last = lines.back();
  CHECK(last["val_loss"] < lines[49]["val_loss"]);
  CHECK(last["val_iou"] > lines[49]["val_iou"] - 0.05);
  CHECK(last["test_iou_background"] > 0.8);
  CHECK(last["test_iou"] > 0.2);  // of five classes: more than the background alone can give
  CHECK(last["test_iou_circle"] > 0.2);
  double total = 0;
  for (const char* name : {"background", "circle", "square", "triangle", "star"}) total += last["test_iou_" + std::string(name)];
  CHECK(last["test_iou"] == doctest::Approx(total / 5));
  CHECK(load_image(out + "/samples/step-00000200.png").size(2) == 3);
  Outcome evaluated = run_plumb("eval " + out);
  REQUIRE_MESSAGE(evaluated.code == 0, evaluated.err);
  CHECK(nlohmann::json::parse(evaluated.out)["test_iou"].get<double>() == last["test_iou"]);
  CHECK(run_plumb("train segment --out " + out + options).err.find("exists already") != std::string::npos);
  Outcome bad = run_plumb("train segment --out " + scratch.path("bad") + " --depth 9");
  CHECK(bad.code == 2);
  CHECK_MESSAGE(bad.err.find("depth must lie in [1, 6], it is 9") != std::string::npos, bad.err);
}
