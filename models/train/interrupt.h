// Ctrl-C and termination during training: the first finishes the step and saves, the second exits at once.
#pragma once

namespace plumb::train {

/// While alive, SIGINT and SIGTERM only leave a note; a second one ends the process with 130 or 143. One at a time.
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
