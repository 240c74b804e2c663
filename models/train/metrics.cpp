// Reading and writing metrics.jsonl.
#include "models/train/metrics.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstring>
#include <limits>

#include "engine/core/error.h"
#include "engine/io/file.h"
#include "engine/io/json_object.h"

namespace plumb::train {
namespace {

[[noreturn]] void fail(const std::string& path, const std::string& problem) { throw IoError("metrics: " + path + ": " + problem); }

Metrics parse_line(const std::string& path, std::string_view line, size_t number) {
  try {
    auto json = JsonObject::parse(line, "line " + std::to_string(number));
    if (!json.contains("step")) fail(path, json.what() + ": has no step");
    Metrics m;
    json.read("step", m.step);
    for (const std::string& name : json.names()) {
      if (name == "step") continue;
      double value = std::numeric_limits<double>::quiet_NaN();  // which is written as null
      if (json.contains(name)) json.read(name, value);
      m.values.push_back({name, value});
    }
    return m;
  } catch (const ConfigError& error) {
    fail(path, error.what());
  }
}

// Calls f(line without its newline, offset after it) for every whole line.
template <typename F>
void for_each_line(std::string_view text, F&& f) {
  for (size_t begin = 0, end; (end = text.find('\n', begin)) != std::string_view::npos; begin = end + 1) f(text.substr(begin, end - begin), end + 1);
}

// Returns 0 or the error. A write may be cut short, by a disk that just became full for one.
int write_whole(int descriptor, std::string_view text) {
  while (!text.empty()) {
    ssize_t put = write(descriptor, text.data(), text.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return errno;
    text.remove_prefix(static_cast<size_t>(put));
  }
  return 0;
}

}  // namespace

double Metrics::operator[](const std::string& name) const {
  for (auto& [key, value] : values)
    if (key == name) return value;
  return std::numeric_limits<double>::quiet_NaN();
}

std::vector<Metrics> read_metrics(const std::string& path) {
  std::vector<Metrics> all;
  std::string text = read_file(path);
  for_each_line(text, [&](std::string_view line, size_t) { all.push_back(parse_line(path, line, all.size() + 1)); });
  return all;
}

MetricsFile::MetricsFile(const std::string& path, int64_t last_step) : path_(path) {
  size_t keep = 0, number = 0;
  if (path_exists(path)) {
    std::string text = read_file(path);
    int64_t reached = 0;
    for_each_line(text, [&](std::string_view line, size_t end) {
      if (reached >= last_step) return;  // what follows is dropped, whatever a loss of power made of it
      reached = parse_line(path, line, ++number).step;
      if (reached <= last_step) keep = end;
    });
  }
  descriptor_ = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor_ < 0 || ftruncate(descriptor_, static_cast<off_t>(keep)) != 0 || lseek(descriptor_, 0, SEEK_END) < 0) fail(path, std::string("cannot be written: ") + std::strerror(errno));
}

MetricsFile::~MetricsFile() { close(descriptor_); }

void MetricsFile::append(const Metrics& metrics) {
  JsonObject json;
  json.set("step", metrics.step);
  for (auto& [name, value] : metrics.values) json.set(name, value);
  std::string line = json.text() + "\n";
  off_t before = lseek(descriptor_, 0, SEEK_END);
  int error = write_whole(descriptor_, line);
  if (error == 0) return;
  if (ftruncate(descriptor_, before) != 0) fail(path_, "a line was cut short and could not be taken back");
  fail(path_, std::string("cannot be written: ") + std::strerror(error));
}

void MetricsFile::sync() {
  while (fsync(descriptor_) != 0) {
    if (errno == EINVAL) return;  // a device
    if (errno != EINTR) fail(path_, std::string("cannot be flushed to the disk: ") + std::strerror(errno));
  }
}

}  // namespace plumb::train
