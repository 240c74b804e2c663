// Event files on disk.
#include "models/train/event_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <cstring>

#include "engine/core/error.h"
#include "engine/io/file.h"
#include "models/train/event_records.h"

namespace plumb::train {
namespace {

constexpr size_t kMostPending = 64 << 10;
constexpr double kLongestWait = 5;  // seconds in which TensorBoard does not see what was added

double now() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

// Of a file that is not there yet: after a jump of the clock two processes may have the same second and the same number.
std::string fresh_path(const std::string& directory) {
  char host[256] = "host";
  gethostname(host, sizeof host - 1);
  std::string path = directory + "/events.out.tfevents." + std::to_string(static_cast<int64_t>(now())) + "." + host + "." +
                     std::to_string(getpid()),
              fresh = path;
  for (int n = 1; path_exists(fresh); ++n) fresh = path + "." + std::to_string(n);
  return fresh;
}

// TensorBoard reads Markdown, in which lines that begin with four spaces stand as they are.
std::string as_it_stands(const std::string& text) {
  std::string out = "    ";
  for (char c : text) {
    out.push_back(c);
    if (c == '\n') out += "    ";
  }
  return out;
}

}  // namespace

EventFile::EventFile(const std::string& directory, int64_t first_step) : path_(fresh_path(directory)), flushed_(now()) {
  descriptor_ = open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor_ < 0) throw IoError("events: " + path_ + ": cannot be written: " + std::strerror(errno));
  add(event::version(now()));
  if (first_step > 0) add(event::restart({now(), first_step}));
  flush();
}

EventFile::~EventFile() {
  try {
    flush();
  } catch (const Error&) {  // a full disk must not end a program that is already unwinding
  }
  close(descriptor_);
}

void EventFile::add(const std::string& record) {
  pending_ += event::framed(record);
  if (pending_.size() > kMostPending || now() - flushed_ > kLongestWait) flush();
}

void EventFile::scalar(const std::string& tag, double value, int64_t step) { add(event::scalar({now(), step}, tag, value)); }
void EventFile::histogram(const std::string& tag, const Histogram& h, int64_t step) { add(event::histogram({now(), step}, tag, h)); }
void EventFile::image(const std::string& tag, std::string_view png, int64_t step) { add(event::image({now(), step}, tag, png)); }
void EventFile::text(const std::string& tag, const std::string& text, int64_t step) {
  add(event::text({now(), step}, tag, as_it_stands(text)));
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
  flushed_ = now();
}

}  // namespace plumb::train
