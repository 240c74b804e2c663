// Writing Event protocol buffers by hand: a handful of fields does not need a code generator.
//   Event   { 1: double wall_time, 2: int64 step, 3: string file_version, 5: Summary summary, 7: SessionLog { 1: START } }
//   Summary { 1: Value { 1: string tag, 2: float simple_value } }
#include "models/train/event_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <cstring>

#include "engine/core/error.h"
#include "engine/io/crc32c.h"
#include "engine/io/file.h"

namespace plumb::train {
namespace {

// TFRecord stores a rotated, offset checksum.
uint32_t masked(uint32_t crc) { return ((crc >> 15) | (crc << 17)) + 0xa282ead8u; }

template <typename T>
void put(std::string& out, T value) { out.append(reinterpret_cast<const char*>(&value), sizeof value); }

void varint(std::string& out, uint64_t v) {
  for (; v >= 0x80; v >>= 7) out.push_back(static_cast<char>(v | 0x80));
  out.push_back(static_cast<char>(v));
}
enum WireType : uint32_t { kVarint = 0, kDouble = 1, kBytes = 2, kFloat = 5 };
void key(std::string& out, uint32_t field, WireType type) { varint(out, field << 3 | type); }
void bytes(std::string& out, uint32_t field, const std::string& value) {
  key(out, field, kBytes);
  varint(out, value.size());
  out += value;
}

std::string event(int64_t step) {
  std::string e;
  key(e, 1, kDouble);
  put(e, std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count());
  key(e, 2, kVarint);
  varint(e, static_cast<uint64_t>(step));
  return e;
}

// Of a file that is not there yet: after a jump of the clock two processes may have the same second and the same number.
std::string fresh_path(const std::string& directory) {
  char host[256] = "host";
  gethostname(host, sizeof host - 1);
  auto now = std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  std::string path = directory + "/events.out.tfevents." + std::to_string(now) + "." + host + "." + std::to_string(getpid()), fresh = path;
  for (int n = 1; path_exists(fresh); ++n) fresh = path + "." + std::to_string(n);
  return fresh;
}

}  // namespace

EventFile::EventFile(const std::string& directory, int64_t first_step) : path_(fresh_path(directory)) {
  descriptor_ = open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor_ < 0) throw IoError("events: " + path_ + ": cannot be written: " + std::strerror(errno));
  std::string version = event(0);
  bytes(version, 3, "brain.Event:2");
  record(version);
  if (first_step > 0) {
    std::string started = event(first_step), start_marker;
    key(start_marker, 1, kVarint);
    varint(start_marker, 1);
    bytes(started, 7, start_marker);
    record(started);
  }
  flush();
}

EventFile::~EventFile() {
  try {
    flush();
  } catch (const Error&) {  // a full disk must not end a program that is already unwinding
  }
  close(descriptor_);
}

void EventFile::record(const std::string& data) {
  std::string length;
  put(length, static_cast<uint64_t>(data.size()));
  pending_ += length;
  put(pending_, masked(crc32c(length)));
  pending_ += data;
  put(pending_, masked(crc32c(data)));
  constexpr size_t kMostPending = 64 << 10;  // of a run that is not evaluated for hours
  if (pending_.size() > kMostPending) flush();
}

void EventFile::scalar(const std::string& tag, double value, int64_t step) {
  std::string v, summary, e = event(step);
  bytes(v, 1, tag);
  key(v, 2, kFloat);
  put(v, static_cast<float>(value));
  bytes(summary, 1, v);
  bytes(e, 5, summary);
  record(e);
}

void EventFile::flush() {
  size_t written = 0;
  while (written < pending_.size()) {
    ssize_t n = write(descriptor_, pending_.data() + written, pending_.size() - written);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw IoError("events: " + path_ + ": cannot be written: " + std::strerror(errno));
    written += static_cast<size_t>(n);
  }
  pending_.clear();
}

}  // namespace plumb::train
