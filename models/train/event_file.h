// Event files that TensorBoard reads: scalars over steps.
#pragma once
#include <cstdint>
#include <string>

namespace plumb::train {

/// Appends to events.out.tfevents.… in `directory`: records framed as TFRecord (length, masked CRC-32C, data, masked CRC-32C), each an Event
/// protocol buffer. Throws IoError if the file cannot be written. After a resume a new file goes on from the step it resumed at.
class EventFile {
 public:
  /// `first_step`: steps from here on in older files of the directory are superseded (TensorBoard drops them).
  EventFile(const std::string& directory, int64_t first_step);
  ~EventFile();
  EventFile(const EventFile&) = delete;
  EventFile& operator=(const EventFile&) = delete;
  void scalar(const std::string& tag, double value, int64_t step);
  /// Hands what was written to the system, which else happens every 64 KiB.
  void flush();

 private:
  void record(const std::string& event);
  std::string path_, pending_;
  int descriptor_;
};

}  // namespace plumb::train
