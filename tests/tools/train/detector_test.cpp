// `plumb train detector` as a user meets it: small runs on rendered shapes.
#include <doctest/doctest.h>
#include <signal.h>

#include "engine/io/file.h"
#include "engine/io/image.h"
#include "engine/io/json_object.h"
#include "models/train/metrics.h"
#include "tests/tools/stop_midway.h"

using namespace plumb;

namespace {

const char* kSmall =
    " --size 32 --shapes 2 --images 64 --validation 8 --test 12 --backbone-width 4 --width 16 --proposals 6 --stages 1 "
    "--batch 8 --warmup 5 --lr 0.003 --noise 0";

double number(const JsonObject& json, const char* name) {
  double value = -1;
  json.read(name, value);
  return value;
}

}  // namespace

TEST_CASE("train detector: the loss falls, precision is measured, boxes are drawn, and the run can be evaluated") {
  plumb_test::Scratch scratch;
  std::string out = scratch.path("run");
  Outcome o = run_plumb("train detector --out " + out + kSmall + " --steps 60 --eval-every 30");
  REQUIRE_MESSAGE(o.code == 0, o.err);
  auto lines = train::read_metrics(out + "/metrics.jsonl");
  double early = 0, late = 0;
  for (size_t i = 0; i < 10; ++i) early += lines[i]["train_loss"], late += lines[lines.size() - 1 - i]["train_loss"];
  CHECK(late < 0.8 * early);
  auto last = lines.back();
  CHECK(last["val_ap50"] >= last["val_map"]);
  CHECK(load_image(out + "/samples/step-00000060.png").size(2) == 3);
  Outcome evaluated = run_plumb("eval " + out);
  REQUIRE_MESSAGE(evaluated.code == 0, evaluated.err);
  auto json = JsonObject::parse(evaluated.out, "eval");
  CHECK(number(json, "test_map") == last["test_map"]);
  CHECK(number(json, "test_ap50") >= number(json, "test_ap75"));
  CHECK(json.contains("test_ap50_star"));
  CHECK(run_plumb("train detector --out " + out + kSmall).err.find("exists already") != std::string::npos);
  Outcome bad = run_plumb("train detector --out " + scratch.path("bad") + " --shapes 9 --proposals 4");
  CHECK(bad.code == 2);
  CHECK_MESSAGE(bad.err.find("--shapes 9 are more than --proposals 4") != std::string::npos, bad.err);
}

TEST_CASE("train detector: killed and resumed, from noise and in bf16 too, the bits are those of one run") {
  plumb_test::Scratch scratch;
  for (const std::string& more : {std::string(" --ema 0.9 --recompute"),
                                  std::string(" --start noise --denoising-steps 2 --matching one_to_one --dtype bf16 --accumulate 2")}) {
    std::string name = more.substr(3, 3);
    auto command = [&](const std::string& out) {
      return "train detector --out " + scratch.path(name + out) + kSmall + " --steps 40 --eval-every 20 --checkpoint-every 5" + more;
    };
    Outcome whole = run_plumb(command("whole"));
    REQUIRE_MESSAGE(whole.code == 0, whole.err);
    CHECK(stop_midway(command("cut"), scratch.path(name + "cut/metrics.jsonl"), 12, SIGKILL) == 128 + SIGKILL);
    Outcome resumed = run_plumb("train detector --resume " + scratch.path(name + "cut"));
    REQUIRE_MESSAGE(resumed.code == 0, resumed.err);
    CHECK(read_file(scratch.path(name + "cut/model.safetensors")) == read_file(scratch.path(name + "whole/model.safetensors")));
    CHECK(numbers(scratch.path(name + "cut/metrics.jsonl")) == numbers(scratch.path(name + "whole/metrics.jsonl")));
  }
}
