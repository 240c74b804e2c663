// `plumb train classifier` and `eval` as a user meets them: small runs on the carried digits and on images made here.
#include <doctest/doctest.h>
#include <signal.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "engine/data/digits/digits.h"
#include "engine/io/cifar.h"
#include "engine/io/file.h"
#include "engine/io/idx.h"
#include "engine/io/image.h"
#include "models/train/metrics.h"
#include "tests/tools/stop_midway.h"

using namespace plumb;
namespace fs = std::filesystem;

namespace {

const char* kMlp = " --model mlp --hidden 32 --batch 32 --eval-every 20 --checkpoint-every 20 --lr 0.02 --warmup 5";

struct Runs {
  plumb_test::Scratch scratch;
  std::string run(const std::string& name) const { return scratch.path(name); }
  std::string train(const std::string& name, const std::string& data = "digits", int steps = 60) const {
    return "train classifier --data " + data + " --out " + run(name) + kMlp + " --steps " + std::to_string(steps);
  }
  std::string weights(const std::string& name) const { return read_file(run(name) + "/model.safetensors"); }
  std::vector<train::Metrics> metrics(const std::string& name) const { return train::read_metrics(run(name) + "/metrics.jsonl"); }
};

// n images of two classes that a line separates: dark and bright.
Tensor two_tones(int64_t n, const Shape& image) {
  Shape shape = image;
  shape.insert(0, n);
  Tensor x = empty(shape, u8);
  int64_t size = numel(image);
  for (int64_t i = 0; i < n * size; ++i) x.data<uint8_t>()[i] = static_cast<uint8_t>((i / size % 2 ? 150 : 20) + i * 7 % 60);
  return x;
}
Tensor alternating(int64_t n, DType dtype) {
  Tensor label = empty({n}, dtype);
  for (int64_t i = 0; i < n; ++i) {
    if (dtype == u8) label.data<uint8_t>()[i] = static_cast<uint8_t>(i % 2);
    else label.data<int64_t>()[i] = i % 2;
  }
  return label;
}
void image_file(const std::string& path, int64_t side, uint8_t value, bool jpeg = false) {
  fs::create_directories(fs::path(path).parent_path());
  Tensor image = full({side, side, 3}, value, u8);
  if (jpeg) save_jpeg(path, image);
  else save_png(path, image);
}

}  // namespace

TEST_CASE("train classifier: a small ResNet learns the digits, is tested in the end, and can be evaluated") {
  Runs r;
  Outcome o = run_plumb("train classifier --data digits --out " + r.run("a") +
                        " --model resnet --depth 8 --width 8 --batch 64 --epochs 5 --eval-every 40 --lr 0.1 --warmup 10 --crop 1");
  REQUIRE_MESSAGE(o.code == 0, o.err);
  auto lines = r.metrics("a");
  CHECK(lines.size() == 102);  // ⌈5 · 1,294 / 64⌉: 143 of the 1,438 are held back
  CHECK(lines[39]["val_accuracy"] > 0.3);
  CHECK(lines.back()["val_accuracy"] > 0.9);
  CHECK(lines.back()["test_accuracy"] > 0.9);
  Outcome evaluated = run_plumb("eval " + r.run("a"));
  REQUIRE_MESSAGE(evaluated.code == 0, evaluated.err);
  auto json = nlohmann::json::parse(evaluated.out);
  CHECK(json["accuracy"].get<double>() == lines.back()["test_accuracy"]);
  CHECK(json["images"] == 359);
  int64_t wrong = std::lround((1 - lines[39]["val_accuracy"]) * 143);  // of 143; at most 36 are shown, six a row
  CHECK(load_image(r.run("a") + "/samples/step-00000040.png").size(1) ==
        50 * std::min<int64_t>(6, static_cast<int64_t>(std::ceil(std::sqrt(wrong)))) + 2);
  std::string report = read_file(r.run("a") + "/report.html");
  CHECK(report.find("test accuracy 0.9") != std::string::npos);
  CHECK(report.find("data:image/png;base64,") != std::string::npos);
}

TEST_CASE("train classifier: killed and resumed with accumulation, averaged weights and augmentation, the bits are those of one run") {
  Runs r;
  const char* options = " --accumulate 2 --ema 0.9 --early-stop 9 --rotate 10 --crop 1 --cutout 2 --mixup 0.2 --label-smoothing 0.05";
  auto train = [&](const std::string& name) {
    return "train classifier --data digits --out " + r.run(name) +
           " --width 8 --batch 32 --steps 60 --eval-every 20 --checkpoint-every 20 --lr 0.05" + options;
  };
  REQUIRE(run_plumb(train("whole")).code == 0);
  CHECK(stop_midway(train("cut"), r.run("cut") + "/metrics.jsonl", 30, SIGKILL) == 128 + SIGKILL);
  Outcome o = run_plumb("train classifier --resume " + r.run("cut"));
  CHECK_MESSAGE(o.code == 0, o.err);
  CHECK(r.weights("cut") == r.weights("whole"));
  CHECK(numbers(r.run("cut") + "/metrics.jsonl") == numbers(r.run("whole") + "/metrics.jsonl"));
}

TEST_CASE("train classifier: wide-resnet, group norm, bf16, f64, recompute") {
  Runs r;
  int run = 0;
  for (const char* options : {"--model wide-resnet --depth 10 --widen 1 --dtype bf16", "--model resnet --norm group --groups 4 --recompute",
                              "--model resnet --dtype f64 --optimizer adamw --lr 0.001"}) {
    std::string out = r.run("r" + std::to_string(run++));
    Outcome o = run_plumb("train classifier --data digits --out " + out + " --batch 16 --steps 3 --warmup 0 --eval-every 0 " + options);
    CHECK_MESSAGE(o.code == 0, options << ": " << o.err);
    CHECK(train::read_metrics(out + "/metrics.jsonl").back()["test_accuracy"] > 0);
  }
}

TEST_CASE("train classifier: IDX directories and files, CIFAR files, class folders") {
  Runs r;
  fs::create_directories(r.run("mnist"));
  for (auto& [part, n] : {std::pair{"train", 80}, {"t10k", 20}}) {
    save_idx(r.run("mnist/" + std::string(part) + "-images-idx3-ubyte.gz"), two_tones(n, {6, 5}));
    save_idx(r.run("mnist/" + std::string(part) + "-labels-idx1-ubyte"), alternating(n, u8));
  }
  fs::create_directories(r.run("cifar"));
  save_cifar(r.run("cifar/data_batch_1.bin"), {two_tones(60, {3, 32, 32}), alternating(60, i64), {}});
  save_cifar(r.run("cifar/test_batch.bin"), {two_tones(20, {3, 32, 32}), alternating(20, i64), {}});
  for (int i = 0; i < 20; ++i)
    for (const char* name : {"bright", "dark"})
      image_file(r.run("folders/" + std::string(name) + "/" + std::to_string(i) + (i % 2 ? ".png" : ".jpg")), 4,
                 static_cast<uint8_t>((name[0] == 'b' ? 160 : 20) + 3 * i), i % 2 == 0);
  fs::create_directories(r.run("parts"));
  fs::copy(r.run("folders"), r.run("parts/train"), fs::copy_options::recursive);
  fs::copy(r.run("folders"), r.run("parts/test"), fs::copy_options::recursive);
  int run = 0;
  for (std::string data : {r.run("mnist"), r.run("mnist/train-labels-idx1-ubyte") + " " + r.run("mnist/train-images-idx3-ubyte.gz"),
                           r.run("cifar"), r.run("cifar/data_batch_1.bin"), r.run("folders"), r.run("parts")}) {
    CAPTURE(data);
    std::string name = "r" + std::to_string(run++);
    Outcome o = run_plumb(r.train(name, data));
    REQUIRE_MESSAGE(o.code == 0, o.err);
    CHECK(r.metrics(name).back()["test_accuracy"] == 1);
    CHECK(run_plumb("eval " + r.run(name)).code == 0);
  }
  Outcome other = run_plumb("eval " + r.run("r4") + " --data " + r.run("parts"));
  CHECK_MESSAGE(other.code == 0, other.err);
  CHECK(other.out.find("\"images\": 40") != std::string::npos);
}

TEST_CASE("train classifier: bad input is one line that names it, exit code 2, and nothing is made") {
  Runs r;
  auto refused = [&](const std::string& arguments, const std::string& part) {
    Outcome o = run_plumb(arguments);
    CHECK_MESSAGE(o.code == 2, arguments);
    CHECK_MESSAGE(o.err.find(part) != std::string::npos, o.err);
    CHECK_MESSAGE(std::count(o.err.begin(), o.err.end(), '\n') == 1, o.err);
    CHECK_FALSE(path_exists(r.run("x")));
  };
  auto with = [&](const std::string& data) { return r.train("x", data); };
  refused(with(r.run("none")),
          "none does not exist; give a path (`plumb data fetch mnist` makes data/mnist), or digits, which are built in");
  fs::create_directories(r.run("empty"));
  refused(with(r.run("empty")), "empty: has no subfolders; each class has its own");
  fs::create_directories(r.run("no-images/a"));
  refused(with(r.run("no-images")), "no-images: has no .png, .jpg or .jpeg files");
  image_file(r.run("mixed/a/1.png"), 4, 9);
  image_file(r.run("mixed/b/2.png"), 5, 9);
  refused(with(r.run("mixed")), "2.png: is 5×5, ");
  fs::create_directories(r.run("half"));
  save_idx(r.run("half/train-images-idx3-ubyte"), two_tones(10, {4, 4}));
  refused(with(r.run("half")), "train-labels-idx1-ubyte is missing");
  save_idx(r.run("half/train-labels-idx1-ubyte"), alternating(9, u8));
  refused(with(r.run("half")), "has 9 labels for 10 images");
  save_idx(r.run("short-images"), two_tones(10, {4, 4}));
  refused(with(r.run("short-images")),
          "one file of the training part, not CIFAR's (.bin); give two IDX files, images and labels, or a directory ");
  fs::create_directories(r.run("labels"));
  save_idx(r.run("labels/train-images-idx3-ubyte"), two_tones(10, {4, 4}));
  save_idx(r.run("labels/train-labels-idx1-ubyte"), alternating(10, u8));
  save_idx(r.run("labels/t10k-images-idx3-ubyte"), two_tones(3, {4, 4}));
  save_idx(r.run("labels/t10k-labels-idx1-ubyte"), full({3}, 7, u8));
  refused(with(r.run("labels")), "label 7 of test image 0 is outside [0, 2)");
  refused(with("digits") + " --accumulate 5", "--accumulate 5 does not divide --batch 32");
  refused(with("digits") + " --validation 0 --early-stop 2", "--early-stop needs a validation part");
  refused(with("digits") + " --validation 1", "--validation must lie in [0, 1)");
  refused(with("digits") + " --rotate -3", "--rotate must not be negative");
  refused(with("digits") + " --epochs 3", "--epochs");
  refused("train classifier --data digits --out " + r.run("x") + " --depth 9", "--depth 9 is not 6n + 2");
  refused("train classifier --data digits --out " + r.run("x") + " --model cnn", "--model cnn is unknown");
  refused("train classifier --out " + r.run("x"), "--data is missing");
  REQUIRE(run_plumb(r.train("a") + " --no-test").code == 0);
  CHECK(std::isnan(r.metrics("a").back()["test_accuracy"]));
  refused("train gpt --resume " + r.run("a"), "is a run of train classifier, not of train gpt");
  refused("eval " + r.run("a") + " --data " + r.run("labels"), "label 7 of test image 0");
  image_file(r.run("big/a/1.png"), 9, 9);
  image_file(r.run("big/b/1.png"), 9, 99);
  for (int i = 2; i < 30; ++i) image_file(r.run("big/b/" + std::to_string(i) + ".png"), 9, 99);
  refused("eval " + r.run("a") + " --data " + r.run("big"), "images are [3, 9, 9], those of the run [1, 8, 8]");
}

TEST_CASE("train classifier: a data set that changed is not gone on with") {
  Runs r;
  for (int i = 0; i < 20; ++i)
    for (const char* name : {"bright", "dark"})
      image_file(r.run("folders/" + std::string(name) + "/" + std::to_string(i) + ".png"), 4,
                 static_cast<uint8_t>((name[0] == 'b' ? 160 : 20) + 3 * i));
  CHECK(stop_midway(r.train("a", r.run("folders"), 5000), r.run("a") + "/metrics.jsonl", 5, SIGTERM) == 143);
  image_file(r.run("folders/dark/20.png"), 4, 7);
  Outcome o = run_plumb("train classifier --resume " + r.run("a"));
  CHECK(o.code == 2);
  CHECK_MESSAGE(o.err.find("has changed since the run began") != std::string::npos, o.err);
}

TEST_CASE("eval of a classifier: given class folders are taken by their names; one that the run does not know is named") {
  Runs r;
  auto put = [&](const std::string& folder, const std::string& name, int level) {
    for (int i = 0; i < 20; ++i)
      image_file(r.run(folder + "/" + name + "/" + std::to_string(i) + ".png"), 4, static_cast<uint8_t>(level + i));
  };
  put("all", "bright", 220), put("all", "dark", 5), put("all", "middle", 110);
  REQUIRE(run_plumb(r.train("a", r.run("all"), 400)).code == 0);
  put("some", "dark", 6), put("some", "middle", 111);  // by their places they would be bright and dark
  Outcome known = run_plumb("eval " + r.run("a") + " --data " + r.run("some"));
  REQUIRE_MESSAGE(known.code == 0, known.err);
  CHECK(nlohmann::json::parse(known.out)["accuracy"] > 0.9);
  put("some", "abstract", 50);
  Outcome unknown = run_plumb("eval " + r.run("a") + " --data " + r.run("some"));
  CHECK(unknown.code == 2);
  CHECK_MESSAGE(unknown.err.find("the run knows no class \"abstract\"; it has bright, dark, middle") != std::string::npos, unknown.err);
}

TEST_CASE("train classifier: a file is of the test part if a word of its name begins with test, not if one ends with it") {
  Runs r;
  auto cifar = [&](const std::string& name, int64_t n) { save_cifar(r.run(name), {two_tones(n, {3, 32, 32}), alternating(n, i64), {}}); };
  cifar("latest.bin", 60), cifar("my-test.bin", 20);
  Outcome alone = run_plumb(r.train("alone", r.run("latest.bin"), 2));
  CHECK_MESSAGE(alone.err.find("to train on, 6 to validate, 6 to test") != std::string::npos, alone.err);
  Outcome both = run_plumb(r.train("both", r.run("latest.bin") + " " + r.run("my-test.bin"), 2));
  CHECK_MESSAGE(both.err.find("54 to train on, 6 to validate, 20 to test") != std::string::npos, both.err);
}

TEST_CASE("eval: a folder of a single class, even of one image, is measured; one is trained on two or more") {
  Runs r;
  for (int i = 0; i < 20; ++i)
    for (const char* name : {"bright", "dark"})
      image_file(r.run("all/" + std::string(name) + "/" + std::to_string(i) + ".png"), 4,
                 static_cast<uint8_t>((name[0] == 'b' ? 160 : 20) + 3 * i));
  REQUIRE(run_plumb(r.train("a", r.run("all"), 60)).code == 0);
  REQUIRE(run_plumb("train unet --data " + r.run("all") +
                    " --width 8 --multipliers 1 2 --attention 1 --groups 4 --batch 4 --sample-steps 1 --steps 1 --validation 0.2 --out " +
                    r.run("u"))
              .code == 0);
  fs::create_directories(r.run("some"));
  fs::copy(r.run("all/dark"), r.run("some/dark"), fs::copy_options::recursive);
  image_file(r.run("one/dark/0.png"), 4, 30);
  for (auto [folder, images] : {std::pair{"some", 20}, {"one", 1}}) {
    Outcome o = run_plumb("eval " + r.run("a") + " --data " + r.run(folder));
    REQUIRE_MESSAGE(o.code == 0, o.err);
    auto json = nlohmann::json::parse(o.out);
    CHECK(json["images"] == images);
    CHECK(json["accuracy"] == 1);  // dark is the second class of the run
    Outcome drawn = run_plumb("eval " + r.run("u") + " --data " + r.run(folder));
    CHECK_MESSAGE(drawn.code == 0, drawn.err);
  }
  Outcome trained = run_plumb(r.train("x", r.run("some")));
  CHECK(trained.code == 2);
  CHECK(trained.err.find("all labels are 0; a classifier needs at least two classes") != std::string::npos);
  image_file(r.run("other/grey/0.png"), 4, 30);
  CHECK(run_plumb("eval " + r.run("u") + " --data " + r.run("other")).err.find("the run knows no class \"grey\"; it has bright, dark") !=
        std::string::npos);
  CHECK(run_plumb(r.train("x") + " --epochs 9223372036854775807").code == 2);
}
