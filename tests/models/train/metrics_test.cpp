// metrics.jsonl and event files.
#include <doctest/doctest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "engine/core/error.h"
#include "engine/io/crc32c.h"
#include "engine/io/file.h"
#include "models/train/event_file.h"
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
    file.append({3, {{"train_loss", 30}}});
  }
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

TEST_CASE("metrics: a line that is no object is named") {
  Directory d;
  std::ofstream(d.file("m.jsonl")) << "{\"step\": 1}\nnonsense\n";
  std::string message = "metrics: " + d.file("m.jsonl") + ": line 2: not a JSON object";
  CHECK_THROWS_WITH_AS(read_metrics(d.file("m.jsonl")), message.c_str(), IoError);
}

TEST_CASE("events: two files of the same process and the same second are two files") {
  Directory d;
  EventFile first(d.path.string(), 0), second(d.path.string(), 3);
  CHECK(std::distance(fs::directory_iterator(d.path), fs::directory_iterator()) == 2);
}

TEST_CASE("events: what is written does not wait in memory for a flush that never comes") {
  Directory d;
  EventFile events(d.path.string(), 0);
  for (int i = 0; i < 10'000; ++i) events.scalar("train_loss", 1, i);
  for (auto& entry : fs::directory_iterator(d.path)) CHECK(entry.file_size() > 400'000);  // about 50 bytes each
}

TEST_CASE("events: records are framed with lengths and checksums that add up") {
  Directory d;
  {
    EventFile events(d.path.string(), 0);
    events.scalar("train_loss", 1.5, 7);
  }
  std::string path;
  for (auto& entry : fs::directory_iterator(d.path)) path = entry.path().string();
  std::string bytes = read_file(path);
  auto number = [&](size_t at, size_t width) {
    uint64_t v = 0;
    for (size_t i = width; i-- > 0;) v = v << 8 | static_cast<unsigned char>(bytes[at + i]);
    return v;
  };
  auto masked = [](uint32_t crc) { return ((crc >> 15) | (crc << 17)) + 0xa282ead8u; };
  std::vector<std::string> records;
  for (size_t at = 0; at < bytes.size();) {
    uint64_t length = number(at, 8);
    REQUIRE(at + 16 + length <= bytes.size());
    CHECK(number(at + 8, 4) == masked(crc32c(bytes.substr(at, 8))));
    records.push_back(bytes.substr(at + 12, length));
    CHECK(number(at + 12 + length, 4) == masked(crc32c(records.back())));
    at += 16 + length;
  }
  REQUIRE(records.size() == 2);
  CHECK(records[0].find("brain.Event:2") != std::string::npos);
  CHECK(records[1].find("train_loss") != std::string::npos);
  float value = 1.5f;
  CHECK(records[1].ends_with(std::string(reinterpret_cast<const char*>(&value), 4)));
}
