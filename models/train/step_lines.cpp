// Appending lines, and reading them.
#include "models/train/step_lines.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstring>
#include <optional>
#include <string_view>

#include "engine/core/error.h"
#include "engine/io/file.h"
#include "engine/io/flush.h"

namespace plumb::train {
namespace {

StepLine parse_line(const std::string& what, const std::string& path, std::string_view line, size_t number) {
  try {
    StepLine parsed{0, JsonObject::parse(line, "line " + std::to_string(number))};
    if (!parsed.line.contains("step")) throw_io_error(what, path, parsed.line.what() + ": has no step");
    parsed.line.read("step", parsed.step);
    return parsed;
  } catch (const ConfigError& error) {
    throw_io_error(what, path, error.what());
  }
}

// Calls f(line without its newline, offset after it) for every whole line.
template <typename F>
void for_each_line(std::string_view text, F&& f) {
  for (size_t begin = 0, end; (end = text.find('\n', begin)) != std::string_view::npos; begin = end + 1)
    f(text.substr(begin, end - begin), end + 1);
}

// The step of a line, or nothing for what is none: a loss of power may leave anything behind the last line.
std::optional<int64_t> step_of(std::string_view line) {
  int64_t step = 0;
  try {
    JsonObject::parse(line, "line").read("step", step);
  } catch (const ConfigError&) { return {}; }
  return step;
}

// Steps rise from line to line. Where they do not, a line was changed, and what follows it must not be taken for lines to be written again.
[[noreturn]] void out_of_order(const std::string& what, const std::string& path, size_t number, int64_t step, int64_t after) {
  throw_io_error(what, path,
                 "line " + std::to_string(number) + " is of step " + std::to_string(step) + " and stands behind one of step " +
                     std::to_string(after) + ": a line was changed; mend it, or move the file away to go on without it");
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

std::vector<StepLine> parse_step_lines(const std::string& what, const std::string& path, std::string_view text, size_t first) {
  std::vector<StepLine> all;
  for_each_line(text, [&](std::string_view line, size_t) { all.push_back(parse_line(what, path, line, first + all.size())); });
  return all;
}

StepLines::StepLines(std::string what, const std::string& path, int64_t last_step) : what_(std::move(what)), path_(path) {
  size_t keep = 0, number = 0;
  bool made = !path_exists(path);
  if (!made) {
    std::string text = read_file(path);
    int64_t reached = 0;
    for_each_line(text, [&](std::string_view line, size_t end) {
      ++number;
      if (reached >= last_step) {  // what follows is dropped, whatever a loss of power made of it
        if (auto step = step_of(line); step && *step > 0 && *step <= reached) out_of_order(what_, path, number, *step, reached);
        return;
      }
      int64_t step = parse_line(what_, path, line, number).step;
      if (step <= reached) out_of_order(what_, path, number, step, reached);
      reached = step;
      if (reached <= last_step) keep = end, last_step_ = reached;
    });
  }
  descriptor_ = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor_ < 0 || ftruncate(descriptor_, static_cast<off_t>(keep)) != 0 || lseek(descriptor_, 0, SEEK_END) < 0)
    throw_io_error(what_, path, std::string("cannot be written: ") + std::strerror(errno));
  int error = made ? flush_directory_of(path) : 0;
  if (error == 0) return;
  close(descriptor_);
  throw_io_error(what_, path, std::string("its directory cannot be flushed to the disk: ") + std::strerror(error));
}

StepLines::~StepLines() { close(descriptor_); }

void StepLines::append(const JsonObject& object) {
  std::string line = object.text() + "\n";
  off_t before = lseek(descriptor_, 0, SEEK_END);
  int error = write_whole(descriptor_, line);
  if (error == 0) return;
  if (ftruncate(descriptor_, before) != 0) throw_io_error(what_, path_, "a line was cut short and could not be taken back");
  throw_io_error(what_, path_, std::string("cannot be written: ") + std::strerror(error));
}

void StepLines::sync() {
  while (fsync(descriptor_) != 0) {
    if (errno == EINVAL) return;  // a device
    if (errno != EINTR) throw_io_error(what_, path_, std::string("cannot be flushed to the disk: ") + std::strerror(errno));
  }
}

}  // namespace plumb::train
