// A line that shows how far long work has come: a bar that redraws itself on a terminal, plain lines elsewhere.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>

namespace plumb::train {

class Progress {
 public:
  /// `total` steps, of which `done` were made before (a resumed run). Writes to standard error. Off a terminal, about `lines` lines in all;
  /// 0: none.
  Progress(std::string title, int64_t total, int64_t done = 0, int64_t lines = 20);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// Step `step` (from 1) is done; `note` (loss, rate) is shown beside it. Redraws at most ten times a second.
  void update(int64_t step, const std::string& note);
  /// Prints a line of its own above the bar.
  void say(const std::string& line);
  /// Ends the bar's line.
  void finish();

 private:
  void draw(int64_t step, const std::string& note);
  std::string time_left(int64_t step) const;

  using Clock = std::chrono::steady_clock;
  std::string title_;
  int64_t total_, first_, every_;
  bool terminal_, drawn_ = false;
  Clock::time_point start_, last_;
};

}  // namespace plumb::train
