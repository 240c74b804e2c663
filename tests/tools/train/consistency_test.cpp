// `plumb train consistency`, eval and `sample --steps` as a user meets them: the carried digits, a folder of one's own, teachers, bad
// input.
#include <doctest/doctest.h>
#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "engine/io/file.h"
#include "engine/io/image.h"
#include "engine/io/safetensors.h"
#include "models/train/metrics.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"
#include "tests/tools/stop_midway.h"
#include "tools/consistency_methods.h"

using namespace plumb;

namespace {

const char* kNetwork = " --width 8 --multipliers 1 2 --attention 1 --groups 4";
const char* kTraining = " --warmup 5 --ema 0.9";

struct Runs {
  plumb_test::Scratch scratch;
  std::string run(const std::string& name) const { return scratch.path(name); }
  std::string train(const std::string& name, const std::string& method, int steps, const std::string& more = kNetwork) const {
    return "train consistency --out " + run(name) + " --data digits --method " + method + kTraining + " --batch 32" + " --steps " +
           std::to_string(steps) + more;
  }
  std::string teacher(const std::string& more = "") const {
    Outcome o = run_plumb("train unet --out " + run("teacher") + " --data digits" + kNetwork + kTraining +
                          " --steps 60 --lr 0.003 --sample-steps 4" + more);
    REQUIRE_MESSAGE(o.code == 0, o.err);
    return " --teacher " + run("teacher");
  }
};

// Sixty images of one grey each, 8×8.
std::string folder_of_images(const plumb_test::Scratch& scratch, const std::string& name, bool one_larger = false) {
  std::filesystem::create_directories(scratch.path(name));
  for (int i = 0; i < 60; ++i) {
    int64_t side = one_larger && i == 7 ? 9 : 8;
    save_png(scratch.path(name) + "/" + std::to_string(i) + ".png", to(full({side, side, 3}, 4 * i), u8));
  }
  return scratch.path(name);
}

void check_error(const std::string& arguments, const std::string& message) {
  Outcome o = run_plumb(arguments);
  CAPTURE(arguments);
  CHECK(o.code == 2);
  CHECK_MESSAGE(o.err.find(message) != std::string::npos, o.err);
  CHECK(std::count(o.err.begin(), o.err.end(), '\n') == 1);
}

}  // namespace

TEST_CASE("train consistency: samples of iCT come nearer to the digits, and are drawn in any number of steps") {
  Runs r;
  Outcome o = run_plumb(r.train("a", "ict", 160, std::string(kNetwork) + " --s1 40 --lr 0.003 --eval-every 40"));
  REQUIRE_MESSAGE(o.code == 0, o.err);
  auto lines = train::read_metrics(r.run("a") + "/metrics.jsonl");
  CHECK(lines.size() == 160);
  CHECK(lines.back()["val_sliced_wasserstein"] < lines[39]["val_sliced_wasserstein"]);
  CHECK(path_exists(r.run("a") + "/report.html"));
  CHECK(load_image(r.run("a") + "/samples/step-00000160.png").size(2) == 1);
  auto measured = nlohmann::json::parse(run_plumb("eval " + r.run("a")).out);
  CHECK(measured["sliced_wasserstein_2_steps"].get<double>() == doctest::Approx(lines.back()["test_sliced_wasserstein"]).epsilon(1e-6));
  CHECK(measured["sliced_wasserstein_1_step"] > measured["sliced_wasserstein_of_real"]);

  for (int steps : {1, 2, 4}) {
    Outcome drawn = run_plumb("sample " + r.run("a") + " --count 3 --steps " + std::to_string(steps) + " --out " + r.run("x.png"));
    CHECK_MESSAGE(drawn.code == 0, drawn.err);
    CHECK(drawn.err.find("3 images of " + std::to_string(steps) + (steps == 1 ? " step of ict" : " steps of ict")) != std::string::npos);
  }
  std::string draw = "sample " + r.run("a") + " --count 8 --class 3 --seed 4 --out ";
  REQUIRE(run_plumb(draw + r.run("one.png") + " --levels 80 0.8").code == 0);
  REQUIRE(run_plumb(draw + r.run("two.png") + " --levels 80 0.8").code == 0);
  REQUIRE(run_plumb(draw + r.run("three.png") + " --levels 80 0.5").code == 0);
  CHECK(read_file(r.run("one.png")) == read_file(r.run("two.png")));
  CHECK(read_file(r.run("one.png")) != read_file(r.run("three.png")));

  check_error("sample " + r.run("a") + " --steps 0", "--steps must be at least 1, it is 0");
  check_error("sample " + r.run("a") + " --levels 0.5 80", "--levels must descend, 0.5 is followed by 80");
  check_error("sample " + r.run("a") + " --levels 90", "--levels must lie above 0.002 and not above 80, the run's noise levels");
  check_error("sample " + r.run("a") + " --levels 80 1 --steps 2", "--levels are the steps already; leave --steps out");
  check_error("sample " + r.run("a") + " --class 10", "--class 10 is outside [0, 10), the classes of the run");
  check_error("sample " + r.run("a") + " --sampler heun",
              "--sampler: runs of train consistency are sampled with --steps, --levels and --gamma");
  check_error("train consistency --method cd --data digits --out " + r.run("b") + " --teacher " + r.run("a"),
              "is a run of train consistency; a teacher is a run of train unet");
}

TEST_CASE("train consistency: killed and resumed, averaged targets, teacher and all, the bits are those of one run") {
  Runs r;
  std::string teacher = r.teacher();
  for (std::string method : {"ct", "cd", "ctm", "slct", "scott"}) {
    CAPTURE(method);
    bool distils = tools::consistency_method(method).needs_teacher;
    std::string more = (distils ? teacher + " --s1 6" + (method == "ctm" ? " --solver-steps 3" : "") : kNetwork) +
                       std::string(" --eval-every 8 --checkpoint-every 5 --accumulate 2");
    if (method == "cd") more = teacher + " --guidance 2 --s1 6 --eval-every 8 --checkpoint-every 5 --dtype bf16";
    Outcome whole = run_plumb(r.train("whole-" + method, method, 16, more));
    REQUIRE_MESSAGE(whole.code == 0, whole.err);
    CHECK(stop_midway(r.train("cut-" + method, method, 16, more), r.run("cut-" + method) + "/metrics.jsonl", 11, SIGKILL) == 128 + SIGKILL);
    Outcome o = run_plumb("train consistency --resume " + r.run("cut-" + method));
    CHECK_MESSAGE(o.code == 0, o.err);
    CHECK(read_file(r.run("cut-" + method) + "/model.safetensors") == read_file(r.run("whole-" + method) + "/model.safetensors"));
    CHECK(numbers(r.run("cut-" + method) + "/metrics.jsonl") == numbers(r.run("whole-" + method) + "/metrics.jsonl"));
    CHECK(run_plumb("sample " + r.run("cut-" + method) + " --count 4 --steps 4 --out " + r.run("x.png")).code == 0);
  }
  CHECK(run_plumb("sample " + r.run("cut-ctm") + " --count 4 --gamma 1 --out " + r.run("x.png")).code == 0);
  check_error("sample " + r.run("cut-ctm") + " --gamma 2", "--gamma must lie in [0, 1], it is 2");
}

TEST_CASE("train consistency: a student begins as its teacher, and a teacher that does not fit is named") {
  Runs r;
  std::string teacher = r.teacher();
  REQUIRE(run_plumb(r.train("still", "ctm", 1, teacher + " --lr 1e-12 --min-lr 0")).code == 0);
  StateDict student = load_safetensors(r.run("still") + "/model.safetensors"),
            known = load_safetensors(r.run("teacher") + "/model.safetensors");
  for (const auto& [name, weight] : known) {
    const Tensor& taken = student.at("student.unet." + name);
    CHECK(to_vector(taken)[0] == doctest::Approx(to_vector(weight)[0]).epsilon(1e-4).scale(1e-4));
  }
  std::string bad = "train consistency --data digits --out " + r.run("bad") + " --method cd";
  check_error(bad, "--method cd distils a teacher: give --teacher, a run of train unet");
  check_error("train consistency --data digits --out " + r.run("bad") + " --method ict" + teacher,
              "--teacher: --method ict learns without one");
  check_error(bad + teacher + " --width 16",
              "--width: a student has the architecture of its teacher; leave it out, or choose another --teacher");
  check_error(bad + teacher + " --unconditional", "knows 10 classes, the student would know 0");
  check_error("train consistency --out " + r.run("bad") + " --method cd --data " + folder_of_images(r.scratch, "rgb") + teacher,
              "draws images [1, 8, 8], those of --data are [3, 8, 8]");
  check_error(bad + " --teacher " + r.run("nothing"), "is not a run directory");
  CHECK(!path_exists(r.run("bad")));
}

TEST_CASE("train consistency: a folder of images of one's own, without classes") {
  Runs r;
  std::string folder = folder_of_images(r.scratch, "photos");
  std::string begin = "train consistency --out " + r.run("a") + kNetwork + kTraining + " --s1 10 --steps 2 --batch 4 --data ";
  Outcome o = run_plumb(begin + folder);
  REQUIRE_MESSAGE(o.code == 0, o.err);
  CHECK(o.err.find("0 classes, images [3, 8, 8]") != std::string::npos);
  CHECK(run_plumb("sample " + r.run("a") + " --count 2 --steps 1 --out " + r.run("x.png")).code == 0);
  CHECK(load_image(r.run("x.png")).size(2) == 3);

  std::string wrong = "train consistency --out " + r.run("b") + kNetwork + kTraining + " --steps 2 --s1 10 --data ";
  std::filesystem::create_directories(r.run("empty"));
  check_error(wrong + r.run("empty"), r.run("empty") + ": has no .png, .jpg or .jpeg files");
  std::string mixed = folder_of_images(r.scratch, "mixed", true);
  check_error(wrong + mixed, mixed + "/7.png: is 9×9, " + mixed + "/0.png is 8×8");
  CHECK(!path_exists(r.run("b")));

  // a grid of one's own
  REQUIRE(run_plumb("train consistency --out " + r.run("grid") + kNetwork + kTraining +
                    " --grid 0.01 0.1 1 10 40 --steps 2 --batch 4 --data " + folder)
              .code == 0);
  CHECK(run_plumb("sample " + r.run("grid") + " --count 2 --levels 40 1 --out " + r.run("x.png")).code == 0);
  check_error("sample " + r.run("grid") + " --levels 80", "--levels must lie above 0.01 and not above 40, the run's noise levels");

  // the other generators take such a folder too
  for (std::string kind :
       {"unet --unconditional --width 8 --multipliers 1 2 --attention 1 --groups 4 --sample-steps 2", "gan --width 8 --latent 8", "vae"}) {
    CAPTURE(kind);
    std::string name = kind.substr(0, 3);
    Outcome other = run_plumb("train " + kind + " --out " + r.run(name) + " --data " + folder + " --steps 2 --batch 4 --validation 0.3");
    REQUIRE_MESSAGE(other.code == 0, other.err);
    for (std::string steps : {"1", "2", "4"}) {
      Outcome drawn = run_plumb("sample " + r.run(name) + " --count 2 --steps " + steps + " --out " + r.run("y.png"));
      CHECK_MESSAGE(drawn.code == 0, drawn.err);
      CHECK((drawn.err.find("draws in one step") != std::string::npos) == (name != "une" && steps != "1"));
    }
    check_error("sample " + r.run(name) + " --steps 0", "--steps must be at least 1, it is 0");
  }
}

TEST_CASE("train consistency: settings that make no training are named before anything is made") {
  Runs r;
  struct Wrong {
    const char *options, *message;
  };
  for (auto [options, message] :
       {Wrong{"--method magic", "--method magic is unknown; choose from ict, ct, cd, ctm, slct, scott"},
        {"--sigma-min 80 --sigma-max 1",
         "--sigma-min 80 and --sigma-max 1 make no noise grid: its levels must increase from a positive one"},
        {"--sigma-min 0", "make no noise grid"},
        {"--grid 0.1 1 0.5", "--grid must increase, 1 is followed by 0.5"},
        {"--grid 0.1 1 --rho 3", "--rho: --grid says all of it; leave one of them out"},
        {"--grid 1", "--grid needs at least 2 noise levels"},
        {"--rho 0", "--rho must be positive, it is 0"},
        {"--s0 20 --s1 10", "--s0 20 and --s1 10: the noise grid must have at least one interval and not fewer at the end"},
        {"--steps 3", "--method ict: doubling_grid_size: 3 steps are too few for stages from 10 to 160 intervals"},
        {"--sample-steps 0", "--sample-steps must be at least 1, it is 0"},
        {"--gamma 2", "--gamma must lie in [0, 1], it is 2"},
        {"--multipliers 1 1 1 1 1", "5 levels need images whose sides are multiples of 16, they are 8×8"}}) {
    check_error("train consistency --data digits --out " + r.run("bad") + " " + options, message);
    CHECK(!path_exists(r.run("bad")));
  }
  CHECK(run_plumb("train consistency --help").out.find(tools::consistency_method_names()) != std::string::npos);
}
