// metrics.jsonl: one JSON object a step, each step once, numbers printed so that they read back exactly.
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "models/train/step_lines.h"

namespace plumb::train {

/// One line: the step and its named numbers, in the order given.
struct Metrics {
  int64_t step = 0;
  std::vector<std::pair<std::string, double>> values;
  /// The number called `name`, or NaN.
  double operator[](const std::string& name) const;
};

class MetricsFile {
 public:
  /// Opens `path` for appending, after dropping lines of steps beyond `last_step` (they will be written again) and a line cut short.
  /// Throws IoError if that cannot be done.
  MetricsFile(const std::string& path, int64_t last_step) : lines_("metrics", path, last_step) {}
  /// The step of the last line that was there and stayed; 0: none.
  int64_t last_step() const { return lines_.last_step(); }
  /// Writes the line at once. Throws IoError, naming the file, when it cannot be written whole (then it is taken back).
  void append(const Metrics& metrics);
  /// Waits until the disk has what was appended. Throws IoError if that fails.
  void sync() { lines_.sync(); }

 private:
  StepLines lines_;
};

/// All whole lines of a metrics file, in order. Throws IoError if the file is missing or a line is not such an object.
std::vector<Metrics> read_metrics(const std::string& path);
/// Those of `text`, which begins with line `first` of the file.
std::vector<Metrics> parse_metrics(const std::string& path, std::string_view text, size_t first = 1);

}  // namespace plumb::train
