// Fibers: functions with a stack of their own that give way to each other on one thread.
#pragma once
#include <cstddef>
#include <memory>

namespace plumb::simulated {

/// A stack and where on it a function stopped. start() may be called again once the function has ended, or to abandon it.
class Fiber {
 public:
  explicit Fiber(size_t stack_bytes);
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// Prepares function(argument) to run from the next resume(). It must not return: its last act is leave().
  void start(void (*function)(void*), void* argument);
  /// Runs the fiber until it leaves. From outside only.
  void resume();
  /// Goes back to resume()'s caller. From the fiber only.
  void leave();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

}  // namespace plumb::simulated
