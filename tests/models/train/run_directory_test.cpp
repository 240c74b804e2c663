// Run directories and checkpoints.
#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "engine/core/error.h"
#include "engine/io/file.h"
#include "models/train/beginning.h"
#include "models/train/report.h"
#include "models/train/run_directory.h"

using namespace plumb;
using namespace plumb::train;
namespace fs = std::filesystem;

namespace {

struct Scratch {
  fs::path path = fs::temp_directory_path() / ("plumb-run-" + std::to_string(getpid()));
  Scratch() { fs::create_directories(path); }
  ~Scratch() { fs::remove_all(path); }
  std::string run() const { return (path / "run").string(); }
};

StateDict state(float value) { return {{"model.weight", full({2, 2}, value)}, {"optimizer.step", scalar_tensor(3, i64)}}; }

}  // namespace

TEST_CASE("run: a directory that exists is refused and left as it was") {
  Scratch s;
  fs::create_directories(s.run());
  std::ofstream(s.run() + "/mine") << "x";
  CHECK_THROWS_AS(RunDirectory::create(s.run(), "{}"), ConfigError);
  CHECK(std::distance(fs::directory_iterator(s.run()), fs::directory_iterator()) == 1);
}

TEST_CASE("run: what was killed before it had a configuration can begin again in its place") {
  Scratch s;
  fs::create_directories(s.run() + "/checkpoints");
  std::ofstream(s.run() + "/.config.json.999999999.0.tmp") << "{";  // no process has this number
  CHECK(may_begin_at(s.run()));
  CHECK(RunDirectory::create(s.run(), "{}").path() == s.run());
  CHECK_FALSE(fs::exists(s.run() + "/.config.json.999999999.0.tmp"));
  CHECK_FALSE(may_begin_at(s.run()));
  CHECK_THROWS_AS(RunDirectory::create(s.run(), "{}"), ConfigError);
}

TEST_CASE("run: a directory without a name is refused before the root is looked at") {
  CHECK_THROWS_WITH_AS(RunDirectory::create("", R"({"kind": "gpt"})"), "the run directory's name is empty; give --out a directory",
                       ConfigError);
  CHECK_THROWS_WITH_AS(RunDirectory::open(""), "run: the name is empty; give a run directory", IoError);
}

TEST_CASE("run: a directory of checkpoints that is missing, or cannot be listed, is not a run that has none") {
  Scratch s;
  auto run = RunDirectory::create(s.run(), "{}");
  run.save({10, state(1), {}});
  std::string checkpoints = s.run() + "/checkpoints";
  fs::rename(checkpoints, s.run() + "/away");
  CHECK_THROWS_WITH_AS(run.latest(),
                       ("run: " + checkpoints + " is missing; bring it back, or make it (mkdir) to train from the start").c_str(), IoError);
  std::ofstream(checkpoints) << "x";
  CHECK_THROWS_WITH_AS(run.latest(), ("run: " + checkpoints + ": cannot be listed: Not a directory").c_str(), IoError);
  fs::remove(checkpoints);
  fs::rename(s.run() + "/away", checkpoints);
  CHECK(run.latest()->step == 10);
}

TEST_CASE("run: the newest checkpoint comes back whole, and only two are kept") {
  Scratch s;
  auto run = RunDirectory::create(s.run(), R"({"kind": "gpt"})");
  CHECK_FALSE(run.latest());
  for (int64_t step : {10, 20, 30}) run.save({step, state(static_cast<float>(step)), {{"generator_seed", "5"}}});
  auto checkpoint = RunDirectory::open(s.run()).latest();
  REQUIRE(checkpoint);
  CHECK(checkpoint->step == 30);
  CHECK(checkpoint->values.at("generator_seed") == "5");
  CHECK(checkpoint->tensors.at("model.weight").data<float>()[3] == 30);
  CHECK(std::distance(fs::directory_iterator(s.run() + "/checkpoints"), fs::directory_iterator()) == 2);
}

TEST_CASE("run: the model of an unfinished run is that of its newest checkpoint") {
  Scratch s;
  auto run = RunDirectory::create(s.run(), "{}");
  CHECK_THROWS_AS(run.load_model(), IoError);
  run.save({10, state(1), {}});
  CHECK(run.load_model().at("weight").data<float>()[0] == 1);
  CHECK_FALSE(run.finished());
  run.save_model({{"weight", full({2, 2}, 7.0f)}});
  CHECK(run.finished());
  CHECK(run.load_model().at("weight").data<float>()[0] == 7);
}

TEST_CASE("run: what is no run, or of a newer format, is named") {
  Scratch s;
  CHECK_THROWS_WITH_AS(RunDirectory::open(s.run()), ("run: " + s.run() + " is not a run directory (it has no config.json)").c_str(),
                       IoError);
  RunDirectory::create(s.run(), "{}");
  write_file_atomic(s.run() + "/config.json", R"({"format": 99})");
  CHECK_THROWS_WITH_AS(RunDirectory::open(s.run()), ("run: " + s.run() + " has format 99, this program reads format 1").c_str(), IoError);
}

TEST_CASE("run: a damaged checkpoint is an error that names the file") {
  Scratch s;
  auto run = RunDirectory::create(s.run(), "{}");
  run.save({10, state(1), {}});
  std::string path = s.run() + "/checkpoints/step-00000010.safetensors";
  fs::resize_file(path, fs::file_size(path) - 5);
  try {
    run.latest();
    FAIL("a truncated checkpoint was accepted");
  } catch (const IoError& error) {
    CHECK(std::string(error.what()).find(path) != std::string::npos);
  }
}

TEST_CASE("run: a flipped bit in the newest checkpoint is named with its tensor, and where the run would go on without that file") {
  Scratch s;
  auto run = RunDirectory::create(s.run(), "{}");
  run.save({10, state(1), {}});
  run.save({20, state(2), {}});
  std::string path = s.run() + "/checkpoints/step-00000020.safetensors", bytes = read_file(path);
  bytes[bytes.size() - 3] ^= 4;  // of model.weight, the narrower type
  write_file_atomic(path, bytes);
  std::string expected = "safetensors: " + path +
                         ": tensor \"model.weight\" does not fit its checksum: the file is damaged, restore it from a copy; "
                         "without that file the run goes on from step 10";
  CHECK_THROWS_WITH_AS(run.latest(), expected.c_str(), IoError);
  fs::remove(path);
  CHECK(run.latest()->step == 10);
}

TEST_CASE("run: the report shows the configuration and escapes what it quotes") {
  Scratch s;
  auto run = RunDirectory::create(s.run(), R"({"model": {"width": 128}})");
  std::ofstream(s.run() + "/metrics.jsonl")
      << "{\"step\":1,\"train_loss\":2.5,\"lr\":0.1,\"grad_norm\":1,\"tokens_per_s\":10,\"val_loss\":2.25}\n";
  run.save_text(1, "</script><script>");
  write_report(run);
  std::string page = read_file(run.file("report.html"));
  CHECK(page.find("\"model.width\":\"128\"") != std::string::npos);
  CHECK(page.find("validation loss 2.2500") != std::string::npos);
  CHECK(page.find("\\u003c/script>\\u003cscript>") != std::string::npos);
}

TEST_CASE("run: what the model drew and wrote stands in samples/ by step, with what the pictures show") {
  Scratch s;
  auto run = RunDirectory::create(s.run(), "{}");
  CHECK(run.sample_steps().empty());
  CHECK(run.text_steps().empty());
  CHECK(run.samples_title() == "Samples");
  run.save_samples(20, full({1, 1, 2, 2}, 0.5), "Digits");
  run.save_samples(3, full({1, 1, 2, 2}, 0.5), "Digits");
  run.save_text(20, "Once\nupon");
  CHECK(run.sample_steps() == std::vector<int64_t>{3, 20});
  CHECK(run.text_steps() == std::vector<int64_t>{20});
  CHECK(run.samples_title() == "Digits");
  CHECK(read_file(run.text_path(20)) == "Once\nupon");
}
