// `plumb train ssl` and `eval` as a user meets them: folders of striped images made here, every method, runs that are killed and go on, bad
// input.
#include <doctest/doctest.h>
#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "engine/core/generator.h"
#include "engine/io/file.h"
#include "engine/io/image.h"
#include "models/train/metrics.h"
#include "ops/create.h"
#include "tests/tools/stop_midway.h"

using namespace plumb;
namespace fs = std::filesystem;

namespace {

// Stripes across or down, of a colour, a phase and noise of their own: what a flip or a shift does not change.
void striped_image(const std::string& path, bool down, uint64_t seed, int64_t side = 12) {
  fs::create_directories(fs::path(path).parent_path());
  Generator g(seed);
  Tensor image = empty({side, side, 3}, u8);
  uint64_t phase = g.next_below(4), bright = 140 + g.next_below(60);
  for (int64_t y = 0; y < side; ++y)
    for (int64_t x = 0; x < side; ++x)
      for (int64_t c = 0; c < 3; ++c) {
        bool on = (static_cast<uint64_t>(down ? x : y) + phase) % 4 < 2;
        image.data<uint8_t>()[(y * side + x) * 3 + c] = static_cast<uint8_t>((on ? bright : 30) + g.next_below(50));
      }
  save_png(path, image);
}

struct Folders {
  plumb_test::Scratch scratch;
  std::string path(const std::string& name) const { return scratch.path(name); }

  Folders() {
    classes("few", 3, 0);
    classes("test", 15, 1000);
    for (uint64_t i = 0; i < 60; ++i) striped_image(path("many/") + std::to_string(i) + ".png", i % 2, 5000 + i);
  }
  void classes(const std::string& name, uint64_t each, uint64_t seed) const {
    for (bool down : {false, true})
      for (uint64_t i = 0; i < each; ++i)
        striped_image(path(name) + (down ? "/down/" : "/across/") + std::to_string(i) + ".png", down, seed + 2 * i + down);
  }
  std::string train(const std::string& name, const std::string& method, int steps, const std::string& more = "") const {
    std::string cnn = more.find("wide-resnet") == std::string::npos ? " --width 4 --features 16" : "";
    return "train ssl --method " + method + " --labelled " + path("few") + " --unlabelled " + path("many") + " --test " + path("test") +
           " --batch 4" + (method == "supervised" ? "" : " --ratio 2") + cnn + " --out " + path(name) + " --steps " +
           std::to_string(steps) + more;
  }
};

// The run is to fail in one line.
void check_error(const std::string& arguments, const std::string& message) {
  Outcome o = run_plumb(arguments);
  CAPTURE(arguments);
  CHECK(o.code == 2);
  CHECK_MESSAGE(o.err.find(message) != std::string::npos, o.err);
  CHECK(std::count(o.err.begin(), o.err.end(), '\n') == 1);
}

}  // namespace

TEST_CASE("train ssl: six labelled images and sixty without labels, and plumb eval says what the run said") {
  Folders f;
  Outcome o = run_plumb(f.train("a", "fixmatch", 60, " --eval-every 20"));
  REQUIRE_MESSAGE(o.code == 0, o.err);
  CHECK(o.err.find("2 classes, images [3, 12, 12], 6 labelled and 60 unlabelled to train on, 0 to validate, 30 to test") !=
        std::string::npos);
  auto last = train::read_metrics(f.path("a/metrics.jsonl")).back();
  CHECK(last["test_accuracy"] > 0.85);
  CHECK(path_exists(f.path("a/report.html")));
  auto measured = nlohmann::json::parse(run_plumb("eval " + f.path("a")).out);
  CHECK(measured["images"] == 30);
  CHECK(measured["accuracy"].get<double>() == doctest::Approx(last["test_accuracy"]).epsilon(1e-9));
  CHECK(measured["loss"].get<double>() == doctest::Approx(last["test_loss"]).epsilon(1e-6));
  auto elsewhere = nlohmann::json::parse(run_plumb("eval " + f.path("a") + " --data " + f.path("test")).out);
  CHECK(elsewhere["accuracy"] == measured["accuracy"]);
  auto config = nlohmann::json::parse(read_file(f.path("a/config.json")));
  CHECK(config["kind"] == "ssl");
  CHECK(config["threshold"] == 0.95);
  CHECK(config["class_names"] == nlohmann::json{"across", "down"});
  check_error("eval " + f.path("a") + " --data digits", "digits: images are [1, 8, 8], those of the run [3, 12, 12]");
}

TEST_CASE("train ssl: every method, killed and resumed, memories and all, gives the bits of one run") {
  Folders f;
  for (std::string method : {"uda", "shrinkmatch", "simmatchv2", "semixup", "fixmatch", "supervised"}) {
    CAPTURE(method);
    std::string more = " --eval-every 5 --checkpoint-every 4 --validation 0.34";
    if (method == "shrinkmatch") more += " --accumulate 2";
    if (method == "simmatchv2") more += " --model wide-resnet --depth 10 --widen 1 --recompute";
    Outcome whole = run_plumb(f.train("whole-" + method, method, 12, more));
    REQUIRE_MESSAGE(whole.code == 0, whole.err);
    CHECK(stop_midway(f.train("cut-" + method, method, 12, more), f.path("cut-" + method + "/metrics.jsonl"), 9, SIGKILL) == 128 + SIGKILL);
    Outcome o = run_plumb("train ssl --resume " + f.path("cut-" + method));
    CHECK_MESSAGE(o.code == 0, o.err);
    CHECK(read_file(f.path("cut-" + method + "/model.safetensors")) == read_file(f.path("whole-" + method + "/model.safetensors")));
    CHECK(numbers(f.path("cut-" + method + "/metrics.jsonl")) == numbers(f.path("whole-" + method + "/metrics.jsonl")));
    CHECK(nlohmann::json::parse(run_plumb("eval " + f.path("cut-" + method)).out)["images"] == 30);
  }
  // The methods differ in more than their names.
  for (const char* method : {"uda", "fixmatch", "supervised"})
    CHECK(read_file(f.path(std::string("whole-") + method + "/model.safetensors")) != read_file(f.path("whole-semixup/model.safetensors")));
  CHECK(read_file(f.path("whole-uda/model.safetensors")) != read_file(f.path("whole-supervised/model.safetensors")));
}

TEST_CASE("train ssl: supervised needs no unlabelled images; a run without test images is measured on given ones") {
  Folders f;
  std::string start = "train ssl --batch 4 --width 4 --features 8 --steps 2 --labelled " + f.path("few") + " --out ";
  Outcome o = run_plumb(start + f.path("a") + " --method supervised --views marks");
  REQUIRE_MESSAGE(o.code == 0, o.err);
  check_error("eval " + f.path("a"), "has no test images of its own: give --data");
  CHECK(run_plumb("eval " + f.path("a") + " --data " + f.path("test")).code == 0);
  check_error(start + f.path("b") + " --method uda",
              "--unlabelled is missing: give a folder of images; only --method supervised does without");
  CHECK(run_plumb("train ssl --resume " + f.path("a")).out.find("is finished") != std::string::npos);
  stop_midway(f.train("cut", "fixmatch", 5000), f.path("cut/metrics.jsonl"), 2, SIGKILL);
  fs::remove(f.path("many/0.png"));
  check_error("train ssl --resume " + f.path("cut"), "has changed since the run began; a resumed run would not be the same");
}

TEST_CASE("train ssl: images that do not fit are one line, and nothing is made") {
  Folders f;
  auto with = [&](const std::string& labelled, const std::string& unlabelled, const std::string& more = "") {
    return "train ssl --steps 2 --labelled " + f.path(labelled) + " --unlabelled " + f.path(unlabelled) + " --out " + f.path("bad") + more;
  };
  f.classes("gap", 2, 1);
  fs::create_directories(f.path("gap/slanted"));
  check_error(with("gap", "many"), "--labelled " + f.path("gap") + ": the class \"slanted\" has no image; each needs at least one");
  fs::create_directories(f.path("nothing"));
  check_error(with("few", "nothing"), f.path("nothing") + ": has no .png, .jpg or .jpeg files");
  check_error(with("nothing", "many"), f.path("nothing") + ": has no subfolders; each class has its own");
  check_error(with("few", "missing"), f.path("missing"));
  striped_image(f.path("mixed/0.png"), true, 1);
  striped_image(f.path("mixed/1.png"), true, 2, 9);
  check_error(with("few", "mixed"), f.path("mixed/1.png") + ": is 9×9, " + f.path("mixed/0.png") + " is 12×12");
  f.classes("uneven", 2, 1);
  striped_image(f.path("uneven/down/9.png"), true, 2, 10);
  check_error(with("uneven", "many"), "is 10×10");
  striped_image(f.path("larger/0.png"), true, 1, 16);
  check_error(with("few", "larger"), "--unlabelled " + f.path("larger") + ": images are [3, 16, 16], those of --labelled [3, 12, 12]");
  striped_image(f.path("single/one/0.png"), true, 1);
  check_error(with("single", "many"), "has one class; a classifier needs at least two");
  check_error(with("few", "many", " --test " + f.path("gap")), "the class \"slanted\" has no image");
  fs::remove_all(f.path("gap/down"));
  striped_image(f.path("gap/slanted/0.png"), true, 1);
  check_error(with("few", "many", " --test " + f.path("gap")), "or they have other names; both need the same");
  check_error(with("few", "many", " --validation 0.9"), "--validation 0.9");
  CHECK(!path_exists(f.path("bad")));
}

TEST_CASE("train ssl: options out of range are one line") {
  Folders f;
  check_error(f.train("bad", "mixmatch", 2),
              "--method mixmatch is unknown; choose uda, shrinkmatch, simmatchv2, semixup, fixmatch or supervised");
  check_error(f.train("bad", "uda", 2, " --views paintings"), "--views paintings is unknown; choose photos or marks");
  check_error(f.train("bad", "uda", 2, " --threshold 1"), "--threshold must lie in (0, 1), it is 1");
  check_error(f.train("bad", "uda", 2, " --weight -1"), "--weight must not be negative, it is -1");
  check_error(f.train("bad", "uda", 2, " --model vgg"), "--model vgg is unknown; choose cnn or wide-resnet");
  check_error(f.train("bad", "uda", 2, " --dtype bf16"), "train ssl computes on the CPU and in f32; leave --device and --dtype out");
  check_error(f.train("bad", "uda", 2, " --recompute"), "--recompute: the cnn has no blocks to compute again");
  check_error("train ssl --steps 2 --unlabelled " + f.path("many") + " --out " + f.path("bad"), "--labelled is missing");
  CHECK(!path_exists(f.path("bad")));
}

TEST_CASE("train ssl: what a run without a validation part, or with views drawn on the way, cannot do is refused") {
  Folders f;
  check_error(f.train("bad", "uda", 2, " --early-stop 1 --eval-every 1"),
              "--early-stop needs a validation part: --validation must not be 0");
  check_error("train ssl --labelled " + f.path("few") + " --unlabelled " + f.path("many") + " --out " + f.path("bad") +
                  " --ratio 9223372036854775807",
              "--ratio must lie between 1 and 1048576, it is 9223372036854775807");
  check_error(f.train("bad", "uda", 2, " --device cuda"), "--device");
  CHECK(!path_exists(f.path("bad")));
}
