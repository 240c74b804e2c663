// Files of a run that hold one JSON object a step, each step once: metrics.jsonl, histograms.jsonl.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "engine/io/json_object.h"

namespace plumb::train {

class StepLines {
 public:
  /// Opens `path` for appending, after dropping lines of steps beyond `last_step` (they will be written again) and a line cut short.
  /// `what` begins errors. Throws IoError if that cannot be done, and, before anything is dropped, where steps do not rise: a line was
  /// changed.
  StepLines(std::string what, const std::string& path, int64_t last_step);
  ~StepLines();
  StepLines(const StepLines&) = delete;
  StepLines& operator=(const StepLines&) = delete;
  /// The step of the last line that was there and stayed; 0: none.
  int64_t last_step() const { return last_step_; }
  /// Writes `line`, which has a "step", at once. Throws IoError, naming the file, when it cannot be written whole (then it is taken back).
  void append(const JsonObject& line);
  /// Waits until the disk has what was appended. Throws IoError if that fails.
  void sync();

 private:
  std::string what_, path_;
  int descriptor_;
  int64_t last_step_ = 0;
};

struct StepLine {
  int64_t step;
  JsonObject line;
};

/// The whole lines of `text`, in order; the file's `path` and `what` are for errors. `first` is the number of the first line. Throws
/// IoError if a line is no such object.
std::vector<StepLine> parse_step_lines(const std::string& what, const std::string& path, std::string_view text, size_t first = 1);

}  // namespace plumb::train
