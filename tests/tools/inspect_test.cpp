// `plumb inspect`: statistics of tensors whose statistics are known, which file a path stands for, filters, and bad input.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>

#include "engine/io/safetensors.h"
#include "models/train/run_directory.h"
#include "ops/create.h"
#include "ops/shape.h"
#include "tests/tools/run_command.h"
#include "tools/inspect/statistics.h"
#include "tools/inspect/stored_tensors.h"

using namespace plumb;
using namespace plumb::tools;
using plumb_test::Scratch;
using Json = nlohmann::json;

namespace {

constexpr double kInf = std::numeric_limits<double>::infinity(), kNan = std::numeric_limits<double>::quiet_NaN();

std::string saved(const Scratch& scratch, const std::string& name, const StateDict& state, const FileMetadata& metadata = {}) {
  save_safetensors(scratch.path(name), state, metadata);
  return scratch.path(name);
}

Json inspected(const std::string& arguments) {
  Outcome o = run_plumb("inspect " + arguments + " --json");
  REQUIRE_MESSAGE(o.code == 0, o.err);
  return Json::parse(o.out);
}

std::vector<std::string> names_in(const Json& json) {
  std::vector<std::string> names;
  for (const Json& row : json["tensors"]) names.push_back(row["name"]);
  return names;
}

}  // namespace

TEST_CASE("inspect: statistics are those of the finite elements; the others are counted") {
  TensorStatistics s = statistics_of(tensor({{0.0, 1.0, 2.0, 3.0}, {-4.0, kNan, kInf, -kInf}}));
  CHECK(s.finite == 5);
  CHECK(s.zeros == 1);
  CHECK(s.nans == 1);
  CHECK(s.infinities == 2);
  CHECK(s.mean == doctest::Approx(0.4).epsilon(1e-12));
  CHECK(s.std == doctest::Approx(std::sqrt(29.2 / 5)).epsilon(1e-12));
  CHECK(s.min == -4);
  CHECK(s.max == 3);
  CHECK(std::accumulate(s.histogram.begin(), s.histogram.end(), int64_t{0}) == 5);
  // Bins are 7/16 wide: −4 is in the first, 0 in floor(4 / (7/16)) = 9, 1 in 11, 2 in 13, 3 in the last.
  for (int bin : {0, 9, 11, 13, 15}) CHECK(s.histogram[static_cast<size_t>(bin)] == 1);
}

TEST_CASE("inspect: every type, any strides, more elements than one piece, none at all") {
  for (DType type : {f64, f32, bf16, f16, i64, i32, u8}) {
    CAPTURE(name(type));
    TensorStatistics s = statistics_of(mT(tensor({{0.0, 1.0, 2.0}, {3.0, 4.0, 2.0}}, type)));
    CHECK(s.mean == 2);
    CHECK(s.std == doctest::Approx(std::sqrt(10.0 / 6)).epsilon(1e-12));
    CHECK(s.max == 4);
  }
  CHECK(statistics_of(tensor({true, false, true, true})).mean == 0.75);
  int64_t n = (int64_t{1} << 20) + 7;
  TensorStatistics counting = statistics_of(arange(0.0, static_cast<double>(n), 1.0, f64));
  CHECK(counting.mean == doctest::Approx(static_cast<double>(n - 1) / 2).epsilon(1e-12));
  CHECK(counting.std == doctest::Approx(std::sqrt((static_cast<double>(n) * static_cast<double>(n) - 1) / 12)).epsilon(1e-9));
  TensorStatistics none = statistics_of(zeros({0, 3}));
  CHECK(none.finite == 0);
  CHECK(none.mean == 0);
  CHECK(statistics_of(full({3}, 5.0)).histogram[0] == 3);
  double largest = std::numeric_limits<double>::max();
  TensorStatistics wide = statistics_of(tensor({-largest, largest}, f64));
  CHECK(wide.histogram[0] == 1);
  CHECK(wide.histogram[15] == 1);
}

TEST_CASE("inspect: a bar's height is its bin's share of the fullest, and only an empty bin has none") {
  TensorStatistics s;
  s.histogram = {800, 400, 1, 0};
  CHECK(bars(s).starts_with("█▄▁ "));
}

TEST_CASE("inspect: any safetensors file, as JSON and as a table") {
  Scratch scratch;
  std::string file = saved(scratch, "some.safetensors",
                           {{"up.weight", tensor({{1.0, 2.0}, {3.0, 6.0}})}, {"up.bias", zeros({2})}, {"count", tensor({7}, i64)}},
                           {{"made by", "a test"}});
  Json json = inspected(file);
  CHECK(json["files"] == Json::array({file}));
  CHECK(json["metadata"]["made by"] == "a test");
  CHECK(json["elements"] == 7);
  CHECK(json["bytes"] == 4 * 4 + 2 * 4 + 8);
  CHECK(names_in(json) == std::vector<std::string>{"count", "up.bias", "up.weight"});
  const Json& weight = json["tensors"][2];
  CHECK(weight["shape"] == Json::array({2, 2}));
  CHECK(weight["dtype"] == "f32");
  CHECK(weight["mean"] == 3);
  CHECK(weight["min"] == 1);
  CHECK(weight["max"] == 6);
  CHECK(weight["zeros"] == 0);
  CHECK(weight["histogram"].size() == 16);
  Outcome table = run_plumb("inspect " + file);
  CHECK(table.code == 0);
  CHECK(table.out.find("3 tensors, 7 elements, 32 B\n") != std::string::npos);
  CHECK(table.out.find("up.weight  f32   [2, 2]") != std::string::npos);
  CHECK(table.out.find("█") != std::string::npos);
  Outcome bare = run_plumb("inspect " + file + " --no-values");
  CHECK(bare.out.find("█") == std::string::npos);
  CHECK_FALSE(inspected(file + " --no-values")["tensors"][0].contains("mean"));
}

TEST_CASE("inspect: names are filtered by what they contain or by a pattern") {
  Scratch scratch;
  std::string file = saved(
      scratch, "m.safetensors",
      {{"blocks.0.up.weight", ones({1})}, {"blocks.1.up.weight", ones({1})}, {"blocks.1.up.bias", ones({1})}, {"head.bias", ones({1})}});
  CHECK(names_in(inspected(file + " --name blocks.1")) == std::vector<std::string>{"blocks.1.up.bias", "blocks.1.up.weight"});
  CHECK(names_in(inspected(file + " --name '*.weight'")) == std::vector<std::string>{"blocks.0.up.weight", "blocks.1.up.weight"});
  CHECK(names_in(inspected(file + " --name head 'blocks.?.up.bias'")) == std::vector<std::string>{"blocks.1.up.bias", "head.bias"});
  Outcome none = run_plumb("inspect " + file + " --name heda");
  CHECK(none.code == 2);
  CHECK(none.err == "plumb: inspect: --name heda: no tensor's name contains it; the first of 4 is blocks.0.up.weight\n");
}

TEST_CASE("inspect: a run shows its final weights, before that its newest checkpoint, or the one asked for") {
  Scratch scratch;
  auto run = train::RunDirectory::create(scratch.path("run"), "{\"kind\": \"gpt\"}");
  for (int64_t step : {90, 100}) run.save({step, {{"model.w", full({2}, static_cast<double>(step))}}, {}});
  CHECK(inspected(run.path())["tensors"][0]["mean"] == 100);
  CHECK(inspected(run.path())["metadata"]["step"] == "100");
  CHECK(inspected(run.path() + "/ --step 90")["tensors"][0]["mean"] == 90);
  CHECK(inspected(run.path())["other_files"].size() == 1);
  Outcome no_step = run_plumb("inspect " + run.path() + " --step 95");
  CHECK(no_step.code == 2);
  CHECK(no_step.err == "plumb: inspect: " + run.path() + ": there is no checkpoint of step 95; those kept are 90, 100\n");
  run.save_best({{"w", full({2}, 7.0)}});
  CHECK(inspected(run.path())["tensors"][0]["mean"] == 100);
  run.save_model({{"w", full({2}, 3.0)}});
  CHECK(inspected(run.path())["tensors"][0]["mean"] == 3);
}

TEST_CASE("inspect: the pieces of a model in several files are one model") {
  Scratch scratch;
  saved(scratch, "a.safetensors", {{"x", ones({1})}});
  saved(scratch, "b.safetensors", {{"y", ones({2})}, {"z", ones({3})}});
  scratch.put("model.safetensors.index.json",
              R"({"metadata": {}, "weight_map": {"x": "a.safetensors", "y": "b.safetensors", "z": "b.safetensors"}})");
  Json json = inspected(scratch.path());
  CHECK(names_in(json) == std::vector<std::string>{"x", "y", "z"});
  CHECK(json["files"].size() == 2);
}

TEST_CASE("inspect: a piece of a model that lies outside its directory is not read") {
  Scratch scratch;
  saved(scratch, "a.safetensors", {{"x", ones({1})}});
  std::string index = scratch.put("model/model.safetensors.index.json", R"({"weight_map": {"x": "../a.safetensors"}})");
  Outcome outcome = run_plumb("inspect " + scratch.path("model"));
  CHECK(outcome.code == 2);
  CHECK(outcome.err ==
        "plumb: inspect: safetensors: " + index + ": \"x\" lies in \"../a.safetensors\", which is no file below the index's directory\n");
}

TEST_CASE("inspect: what holds no tensors is one line that says what was looked for") {
  Scratch scratch;
  Outcome empty = run_plumb("inspect " + scratch.path());
  CHECK(empty.code == 2);
  CHECK(empty.err == "plumb: inspect: " + scratch.path() +
                         ": holds no tensors: there is no model.safetensors, no model.safetensors.index.json and no "
                         "checkpoints/step-N.safetensors in it\n");
  Outcome missing = run_plumb("inspect " + scratch.path("none.safetensors"));
  CHECK(missing.code == 2);
  CHECK(missing.err.find(scratch.path("none.safetensors")) != std::string::npos);
  Outcome text = run_plumb("inspect " + scratch.put("notes.txt", "no tensors here"));
  CHECK(text.code == 2);
  CHECK(text.err.find("notes.txt") != std::string::npos);
  Outcome step = run_plumb("inspect " + scratch.path("notes.txt") + " --step 3");
  CHECK(step.code == 2);
  CHECK(step.err.find("leave --step out") != std::string::npos);
}

TEST_CASE("inspect: what a file calls its tensors and itself gives a terminal no orders") {
  Scratch scratch;
  std::string path = saved(scratch, "x.safetensors", {{"\x1b]0;own\x07" "a\nb\x7f", zeros({2})}}, {{"k\x1b[2J", "v\xc2\x9b" "2J"}});
  Outcome o = run_plumb("inspect " + path);
  REQUIRE(o.code == 0);
  for (char c : {'\x1b', '\x07', '\x7f'}) CHECK(o.out.find(c) == std::string::npos);
  CHECK(o.out.find("\xc2\x9b") == std::string::npos);
  CHECK(o.out.find(" ]0;own a b ") != std::string::npos);
}
