// What a run leaves beside its checkpoints, and that the real TensorBoard reads it.
#include "models/train/recorder.h"

#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "engine/io/file.h"
#include "models/nn/linear.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "tests/scratch.h"

using namespace plumb;
using namespace plumb::train;
using Json = nlohmann::json;

namespace {

size_t event_files(const RunDirectory& run) {
  size_t files = 0;
  for (auto& entry : std::filesystem::directory_iterator(run.path()))
    files += entry.path().filename().string().starts_with("events.out.tfevents.");
  return files;
}

struct Model : nn::Module {
  nn::Linear layer{this, "layer", 3, 2};
};

// Two steps of everything.
void record(const RunDirectory& run, const RecorderOptions& options, int64_t last_step = 0) {
  Recorder recorder(run, last_step, options);
  Model model;
  sum(model.layer.weight * 0.5).backward();
  for (int64_t step = last_step + 1; step <= last_step + 2; ++step) {
    recorder.numbers({step, {{"train_loss", 2.5 / static_cast<double>(step)}, {"lr", 0.25}}});
    recorder.histograms(model, step);
    recorder.images(full({1, 1, 4, 4}, 0.5), "Digits", step);
    recorder.text("step " + std::to_string(step) + "\nends", step);
  }
}

/// Python that has TensorBoard: PLUMB_PYTHON, else python3; empty where neither has it.
std::string python_with_tensorboard() {
  const char* given = std::getenv("PLUMB_PYTHON");
  std::string python = given ? given : "python3";
  bool works = std::system((python + " -c 'import tensorboard' >/dev/null 2>&1").c_str()) == 0;
  if (!works) MESSAGE("skipped: " << python << " has no tensorboard (pip install tensorboard; PLUMB_PYTHON names another Python)");
  return works ? python : "";
}

Json seen_by_tensorboard(const std::string& python, const RunDirectory& run) {
  const char* source = std::getenv("PLUMB_SOURCE");
  std::string out = run.file("seen.json"), script = std::string(source ? source : ".") + "/tests/models/train/read_events.py";
  REQUIRE(std::system((python + " " + script + " " + run.path() + " >" + out + " 2>" + run.file("errors.txt")).c_str()) == 0);
  return Json::parse(read_file(out));
}

}  // namespace

TEST_CASE("recorder: numbers, histograms, pictures and text by step") {
  plumb_test::Scratch s;
  auto run = RunDirectory::create(s.path("run"), "{}");
  record(run, {});
  CHECK(read_metrics(run.file("metrics.jsonl")).size() == 2);
  auto lines = parse_step_lines("histograms", "", read_file(run.file("histograms.jsonl")));
  REQUIRE(lines.size() == 2);
  CHECK(lines[1].step == 2);
  auto line = Json::parse(lines[1].line.text());
  REQUIRE(line["tensors"].size() == 3);
  CHECK(line["tensors"][0]["name"] == "weights/layer.weight");
  CHECK(line["tensors"][1]["name"] == "gradients/layer.weight");
  CHECK(line["tensors"][1]["counts"][0] == 6);
  CHECK(line["tensors"][1]["low"] == 0.5);
  CHECK(run.sample_steps() == std::vector<int64_t>{1, 2});
  CHECK(run.samples_title() == "Digits");
  CHECK(read_file(run.text_path(2)) == "step 2\nends");
  CHECK(event_files(run) == 1);
}

TEST_CASE("recorder: events and histograms can be left out") {
  plumb_test::Scratch s;
  auto run = RunDirectory::create(s.path("run"), "{}");
  record(run, {.events = false, .histograms = false});
  CHECK(read_metrics(run.file("metrics.jsonl")).size() == 2);
  CHECK_FALSE(path_exists(run.file("histograms.jsonl")));
  CHECK(event_files(run) == 0);
}

TEST_CASE("recorder: a resumed run drops later steps of both files") {
  plumb_test::Scratch s;
  auto run = RunDirectory::create(s.path("run"), "{}");
  record(run, {});
  record(run, {}, 1);
  CHECK(read_metrics(run.file("metrics.jsonl")).size() == 3);
  CHECK(parse_step_lines("histograms", "", read_file(run.file("histograms.jsonl"))).size() == 3);
}

TEST_CASE("recorder: TensorBoard reads scalars, histograms, pictures and text back") {
  std::string python = python_with_tensorboard();
  if (python.empty()) return;
  plumb_test::Scratch s;
  auto run = RunDirectory::create(s.path("run"), R"({"kind": "gpt"})");
  record(run, {});
  Json seen = seen_by_tensorboard(python, run);
  CHECK(seen["scalars"]["train_loss"] == Json::parse("[[1, 2.5], [2, 1.25]]"));
  CHECK(seen["scalars"]["lr"] == Json::parse("[[1, 0.25], [2, 0.25]]"));
  REQUIRE(seen["histograms"].size() == 3);
  CHECK(seen["histograms"]["gradients/layer.weight"] == Json::parse("[[1, 6.0, 0.5, 6.0], [2, 6.0, 0.5, 6.0]]"));
  CHECK(seen["histograms"]["weights/layer.bias"][1][3] == 2.0);
  REQUIRE(seen["images"]["Digits"].size() == 2);
  CHECK(seen["images"]["Digits"][1][0] == 2);
  CHECK(seen["images"]["Digits"][1][1] == 52);  // 4 pixels 12 times as large, 2 around
  CHECK(seen["images"]["Digits"][1][3].get<std::string>().starts_with("iVBORw0KGgo"));
  CHECK(seen["texts"]["text"] == Json::parse(R"([[1, "    step 1\n    ends"], [2, "    step 2\n    ends"]])"));
  CHECK(seen["texts"]["config"][0][1].get<std::string>().find("\"kind\": \"gpt\"") != std::string::npos);
}
