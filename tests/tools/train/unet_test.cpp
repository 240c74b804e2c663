// `plumb train unet` and `sample` as a user meets them: small runs on the carried digits.
#include <doctest/doctest.h>
#include <signal.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <tuple>

#include "engine/io/file.h"
#include "engine/io/image.h"
#include "models/train/metrics.h"
#include "tests/tools/stop_midway.h"

using namespace plumb;

namespace {

const char* kSmall =
    " --data digits --width 8 --multipliers 1 2 --attention 1 --groups 4 --batch 32 --warmup 5 --lr 0.003 --ema 0.9 --sample-steps 4";

struct Runs {
  plumb_test::Scratch scratch;
  std::string run(const std::string& name) const { return scratch.path(name); }
  std::string train(const std::string& name, int steps, const std::string& more = "") const {
    return "train unet --out " + run(name) + kSmall + " --steps " + std::to_string(steps) + more;
  }
};

}  // namespace

TEST_CASE("sample: a run whose images have no three sizes is refused, before anything is drawn") {
  Runs r;
  REQUIRE(run_plumb(r.train("a", 2)).code == 0);
  auto config = nlohmann::json::parse(read_file(r.run("a") + "/config.json"));
  for (auto sizes : {nlohmann::json::array(), nlohmann::json{1}, nlohmann::json{1, 8, -8}}) {
    config["image"] = sizes;
    r.scratch.put("a/config.json", config.dump());
    Outcome o = run_plumb("sample " + r.run("a") + " --out " + r.run("x.png"));
    CHECK(o.code == 2);
    CHECK(o.err == "plumb: sample: config.json: image must be three sizes: channels, height and width\n");
    CHECK_FALSE(path_exists(r.run("x.png")));
  }
}

TEST_CASE("train unet: the loss falls, samples are drawn on the way, and a classifier judges them") {
  Runs r;
  Outcome o = run_plumb(r.train("a", 80, " --eval-every 40"));
  REQUIRE_MESSAGE(o.code == 0, o.err);
  auto lines = train::read_metrics(r.run("a") + "/metrics.jsonl");
  CHECK(lines.size() == 80);
  CHECK(lines.back()["val_loss"] < lines[39]["val_loss"]);
  CHECK(load_image(r.run("a") + "/samples/step-00000080.png").size(2) == 1);

  auto loss = [](const std::string& eval) { return nlohmann::json::parse(run_plumb("eval " + eval).out); };
  CHECK(loss(r.run("a"))["images"] == 359);  // the digits' test part
  CHECK(loss(r.run("a"))["loss"].get<double>() == doctest::Approx(lines.back()["val_loss"]).epsilon(0.3));

  Outcome judge = run_plumb("train classifier --data digits --out " + r.run("judge") + " --width 8 --batch 64 --steps 40 --warmup 5");
  REQUIRE_MESSAGE(judge.code == 0, judge.err);
  auto draw = [&](const std::string& picture) {
    return run_plumb("sample " + r.run("a") + " --count 20 --steps 3 --guidance 2 --sampler heun --seed 3 --out " + r.run(picture) +
                     " --judge " + r.run("judge"));
  };
  Outcome drawn = draw("one.png");
  REQUIRE_MESSAGE(drawn.code == 0, drawn.err);
  auto json = nlohmann::json::parse(drawn.out);
  CHECK(json["samples"] == 20);
  CHECK(json["guidance"] == 2);
  for (const char* share : {"as_asked", "precision", "recall", "coverage", "copies"}) {
    CHECK(json[share] >= 0);
    CHECK(json[share] <= 1);
  }
  CHECK(json["frechet"] > json["frechet_of_real"]);
  CHECK(draw("two.png").out == drawn.out);
  CHECK(read_file(r.run("one.png")) == read_file(r.run("two.png")));
  Outcome sevens = run_plumb("sample " + r.run("a") + " --class 7 --count 3 --steps 2 --out " + r.run("seven.png"));
  CHECK_MESSAGE(sevens.code == 0, sevens.err);
  CHECK(sevens.err.find("3 images of 2 steps of dpmpp_2m with guidance 1.5") != std::string::npos);
}

TEST_CASE("train unet: killed and resumed, also self-conditioned and in bf16, the bits are those of one run") {
  Runs r;
  std::string more = " --eval-every 10 --checkpoint-every 5 --self-condition --dropout 0.1 --accumulate 2 --dtype bf16 --winograd off";
  REQUIRE(run_plumb(r.train("whole", 20, more)).code == 0);
  CHECK(stop_midway(r.train("cut", 20, more), r.run("cut") + "/metrics.jsonl", 12, SIGKILL) == 128 + SIGKILL);
  Outcome o = run_plumb("train unet --resume " + r.run("cut"));
  CHECK_MESSAGE(o.code == 0, o.err);
  CHECK(read_file(r.run("cut") + "/model.safetensors") == read_file(r.run("whole") + "/model.safetensors"));
  CHECK(numbers(r.run("cut") + "/metrics.jsonl") == numbers(r.run("whole") + "/metrics.jsonl"));
}

TEST_CASE("train unet: without classes, and what is wrong is named before anything is made") {
  Runs r;
  Outcome o = run_plumb(r.train("free", 2, " --unconditional"));
  REQUIRE_MESSAGE(o.code == 0, o.err);
  CHECK(run_plumb("sample " + r.run("free") + " --class 1 --out " + r.run("x.png"))
            .err.find("--class 1 is outside [0, 0), the classes of the run") != std::string::npos);
  struct Wrong {
    const char *options, *message;
  };
  for (auto [options, message] : {Wrong{" --sampler plms", "sampler \"plms\" is unknown; choose from euler"},
                                  {" --multipliers 1 1 1 1 1", "5 levels need images whose sides are multiples of 16, they are 8×8"},
                                  {" --winograd 3x3", "--winograd 3x3 is unknown; choose off, 2x2 or 4x4"},
                                  {" --groups 3", "--groups 3 does not divide the 8 channels"},
                                  {" --class-dropout 1", "--class-dropout must lie in [0, 1), it is 1"}}) {
    Outcome bad = run_plumb("train unet --data digits --width 8 --out " + r.run("bad") + options +
                            (std::string(options).find("groups") == std::string::npos ? " --groups 4" : ""));
    CHECK(bad.code == 2);
    CHECK_MESSAGE(bad.err.find(message) != std::string::npos, bad.err);
    CHECK(!path_exists(r.run("bad")));
  }
  CHECK(run_plumb("sample " + r.run("free") + " --count 0").err.find("--count must be at least 1, it is 0") != std::string::npos);
}

TEST_CASE("sample: a judge of images without a class says nothing of what was asked, and needs more than three of them") {
  Runs r;
  REQUIRE(run_plumb(r.train("free", 1, " --unconditional")).code == 0);
  REQUIRE(run_plumb(r.train("known", 1)).code == 0);
  REQUIRE(run_plumb("train classifier --data digits --model mlp --hidden 8 --batch 16 --steps 2 --out " + r.run("judge")).code == 0);
  auto judged = [&](const std::string& run, const std::string& more) {
    return run_plumb("sample " + r.run(run) + " --steps 1 --count 8 --out " + r.run("x.png") + " --judge " + r.run("judge") + more);
  };
  for (const auto& [run, more, asked] : {std::tuple{"free", "", false}, {"known", " --class -1", false}, {"known", "", true}}) {
    Outcome o = judged(run, more);
    REQUIRE_MESSAGE(o.code == 0, o.err);
    CHECK(nlohmann::json::parse(o.out).contains("as_asked") == asked);
  }
  CHECK(judged("known", " --count 3").code == 2);
  CHECK(run_plumb("sample " + r.run("known") + " --count 3 --judge " + r.run("judge")).err ==
        "plumb: sample: --judge needs more than 3 images, --count is 3\n");
  CHECK(run_plumb("sample " + r.run("known") + " --class -2").err == "plumb: sample: --class must be a class, or -1 for none, it is -2\n");
}
