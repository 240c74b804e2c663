// metrics.jsonl.
#include <doctest/doctest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "engine/core/error.h"
#include "engine/io/file.h"
#include "models/train/metrics.h"

using namespace plumb;
using namespace plumb::train;
namespace fs = std::filesystem;

namespace {

struct Directory {
  fs::path path = fs::temp_directory_path() / ("plumb-metrics-" + std::to_string(getpid()));
  Directory() { fs::create_directories(path); }
  ~Directory() { fs::remove_all(path); }
  std::string file(const std::string& name) const { return (path / name).string(); }
};

}  // namespace

TEST_CASE("metrics: numbers read back exactly") {
  Directory d;
  double values[] = {0.1, 1.0 / 3, 1e-300, 123456789.123456789, std::nextafter(1.0, 2.0)};
  {
    MetricsFile file(d.file("m.jsonl"), 0);
    for (int i = 0; i < 5; ++i) file.append({i + 1, {{"train_loss", values[i]}}});
  }
  auto lines = read_metrics(d.file("m.jsonl"));
  REQUIRE(lines.size() == 5);
  for (size_t i = 0; i < 5; ++i) {
    CHECK(lines[i].step == static_cast<int64_t>(i) + 1);
    CHECK(lines[i]["train_loss"] == values[i]);
    CHECK(std::isnan(lines[i]["val_loss"]));
  }
}

TEST_CASE("metrics: reopening drops later steps and a line cut short, so each step stands there once") {
  Directory d;
  {
    MetricsFile file(d.file("m.jsonl"), 0);
    for (int i = 1; i <= 4; ++i) file.append({i, {{"train_loss", i}}});
  }
  std::ofstream(d.file("m.jsonl"), std::ios::app) << "{\"step\": 5, \"train_l";
  {
    MetricsFile file(d.file("m.jsonl"), 2);
    CHECK(file.last_step() == 2);
    file.append({3, {{"train_loss", 30}}});
  }
  CHECK(MetricsFile(d.file("m.jsonl"), 7).last_step() == 3);  // the lines of steps 4 to 7 are lost
  auto lines = read_metrics(d.file("m.jsonl"));
  REQUIRE(lines.size() == 3);
  CHECK(lines[2].step == 3);
  CHECK(lines[2]["train_loss"] == 30);
}

TEST_CASE("metrics: reopening drops whatever a loss of power left behind the last step, be it readable or not") {
  Directory d;
  std::ofstream(d.file("m.jsonl")) << "{\"step\":1}\n{\"step\":2}\n" << std::string(100, '\0') << "\nnonsense\n";
  { MetricsFile file(d.file("m.jsonl"), 2); }
  CHECK(read_file(d.file("m.jsonl")) == "{\"step\":1}\n{\"step\":2}\n");
}

TEST_CASE("metrics: where steps do not rise a line was changed, and nothing is dropped") {
  const std::string lines[] = {"{\"step\":9}\n{\"step\":2}\n{\"step\":3}\n", "{\"step\":1}\n{\"step\":0}\n{\"step\":3}\n",
                               "{\"step\":1}\n{\"step\":7}\n{\"step\":3}\n", "{\"step\":1}\n{\"step\":1}\n{\"step\":3}\n"};
  for (const std::string& text : lines) {
    Directory d;
    std::ofstream(d.file("m.jsonl")) << text;
    CHECK_THROWS_AS(MetricsFile(d.file("m.jsonl"), 3), IoError);
    CHECK(read_file(d.file("m.jsonl")) == text);
  }
  Directory d;
  std::ofstream(d.file("m.jsonl")) << lines[0];
  CHECK_THROWS_WITH_AS(
      MetricsFile(d.file("m.jsonl"), 3),
      ("metrics: " + d.file("m.jsonl") +
       ": line 2 is of step 2 and stands behind one of step 9: a line was changed; mend it, or move the file away to go on without it")
          .c_str(),
      IoError);
}

TEST_CASE("metrics: a line that is no object is named") {
  Directory d;
  std::ofstream(d.file("m.jsonl")) << "{\"step\": 1}\nnonsense\n";
  std::string message = "metrics: " + d.file("m.jsonl") + ": line 2: not a JSON object";
  CHECK_THROWS_WITH_AS(read_metrics(d.file("m.jsonl")), message.c_str(), IoError);
}
