// Reading and writing metrics.jsonl.
#include "models/train/metrics.h"

#include <limits>

#include "engine/core/error.h"
#include "engine/io/file.h"

namespace plumb::train {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();  // is written as null

Metrics metrics_of(const std::string& path, const StepLine& line) {
  Metrics m{line.step, {}};
  try {
    for (const std::string& name : line.line.names()) {
      if (name == "step") continue;
      double value = kNone;
      if (line.line.contains(name)) line.line.read(name, value);
      m.values.push_back({name, value});
    }
  } catch (const ConfigError& error) {
    throw_io_error("metrics", path, error.what());
  }
  return m;
}

}  // namespace

double Metrics::operator[](const std::string& name) const {
  for (auto& [key, value] : values)
    if (key == name) return value;
  return kNone;
}

std::vector<Metrics> parse_metrics(const std::string& path, std::string_view text, size_t first) {
  std::vector<Metrics> all;
  for (const StepLine& line : parse_step_lines("metrics", path, text, first)) all.push_back(metrics_of(path, line));
  return all;
}

std::vector<Metrics> read_metrics(const std::string& path) { return parse_metrics(path, read_file(path)); }

void MetricsFile::append(const Metrics& metrics) {
  JsonObject json;
  json.set("step", metrics.step);
  for (auto& [name, value] : metrics.values) json.set(name, value);
  lines_.append(json);
}

}  // namespace plumb::train
