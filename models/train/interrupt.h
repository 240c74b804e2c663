// Ctrl-C, termination and a lost terminal during training: the first finishes the step and saves, a second Ctrl-C or termination exits at
// once.
#pragma once

namespace plumb::train {

/// While alive, SIGINT, SIGTERM and SIGHUP (unless nohup has it ignored) only leave a note; a second SIGINT or SIGTERM ends the process
/// with 130 or 143. A reader of our output that went away (SIGPIPE) and a file that may not grow further (SIGXFSZ) do not end the process:
/// the write fails, which is handled where it is written. One at a time.
class InterruptScope {
 public:
  InterruptScope();
  ~InterruptScope();
  InterruptScope(const InterruptScope&) = delete;
  InterruptScope& operator=(const InterruptScope&) = delete;
  /// The signal that came, or 0.
  static int signal();
};

}  // namespace plumb::train
