// Progress on a terminal and in logs.
#include "models/train/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace plumb::train {

namespace {

// That nobody reads it (a terminal that was closed, a full disk under a log) is no reason to stop the work.
void write(const std::string& text) {
  if (std::fputs(text.c_str(), stderr) < 0 || std::fflush(stderr) != 0) std::clearerr(stderr);
}

}  // namespace

Progress::Progress(std::string title, int64_t total, int64_t done, int64_t lines)
    : title_(std::move(title)), total_(total), first_(done), every_(lines > 0 ? std::max<int64_t>(1, total / lines) : 0),
      terminal_(isatty(STDERR_FILENO) == 1), start_(Clock::now()), last_(start_ - std::chrono::seconds(1)) {}

Progress::~Progress() { finish(); }

std::string Progress::time_left(int64_t step) const {
  double elapsed = std::chrono::duration<double>(Clock::now() - start_).count();
  auto seconds =
      static_cast<int64_t>(elapsed / static_cast<double>(std::max<int64_t>(1, step - first_)) * static_cast<double>(total_ - step));
  if (seconds >= 3600) return fmt::format("{}h{:02}m", seconds / 3600, seconds / 60 % 60);
  return fmt::format("{}:{:02}", seconds / 60, seconds % 60);
}

void Progress::draw(int64_t step, const std::string& note) {
  if (!terminal_) {
    write(fmt::format("{} {}/{}  {}  {} left\n", title_, step, total_, note, time_left(step)));
    return;
  }
  constexpr int64_t kWidth = 24;
  int64_t filled = total_ > 0 ? kWidth * step / total_ : kWidth;
  std::string bar = std::string(static_cast<size_t>(filled), '=') + std::string(static_cast<size_t>(kWidth - filled), ' ');
  write(fmt::format("\r\x1b[K{} [{}] {}/{}  {}  {} left", title_, bar, step, total_, note, time_left(step)));
  drawn_ = true;
}

void Progress::update(int64_t step, const std::string& note) {
  auto now = Clock::now();
  if (!terminal_ && every_ == 0) return;
  bool due = terminal_ ? now - last_ > std::chrono::milliseconds(100) || step == total_
                       : step % every_ == 0 || step == total_ || step == first_ + 1;
  if (!due) return;
  last_ = now;
  draw(step, note);
}

void Progress::say(const std::string& line) {
  if (terminal_ && drawn_) write("\r\x1b[K");
  write(line + "\n");
}

void Progress::finish() {
  if (terminal_ && drawn_) write("\n");
  drawn_ = false;
}

}  // namespace plumb::train
