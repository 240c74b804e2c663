// Event files that TensorBoard reads: scalars, histograms, pictures and text over steps.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "models/train/histogram.h"

namespace plumb::train {

/// Appends to events.out.tfevents.… in `directory` (event_records.h says what). What is added reaches the file after a few seconds or some
/// kilobytes of it, by flush(), and at the end. Throws IoError if the file cannot be written. After a resume a new file goes on from the
/// step it resumed at.
class EventFile {
 public:
  /// `first_step`: steps from here on in older files of the directory are superseded (TensorBoard drops them).
  EventFile(const std::string& directory, int64_t first_step);
  ~EventFile();
  EventFile(const EventFile&) = delete;
  EventFile& operator=(const EventFile&) = delete;

  void scalar(const std::string& tag, double value, int64_t step);
  void histogram(const std::string& tag, const Histogram& histogram, int64_t step);
  /// `png`: a PNG file's bytes.
  void image(const std::string& tag, std::string_view png, int64_t step);
  /// Text whose lines are shown as they stand.
  void text(const std::string& tag, const std::string& text, int64_t step);
  /// Hands what was written to the system.
  void flush();

 private:
  void add(const std::string& record);
  std::string path_, pending_;
  int descriptor_;
  double flushed_;  // when, in seconds since 1970
};

}  // namespace plumb::train
