// A clock that jumps: the time of day, as C++'s system_clock and the C library read it, is wherever a test puts it.
#pragma once
#include <cstdint>

namespace plumb_test::clock {

/// While alive, each reading of the time of day is `seconds` further from the truth than the one before, to and fro.
class Jumping {
 public:
  explicit Jumping(int64_t seconds);
  ~Jumping();
  Jumping(const Jumping&) = delete;
  Jumping& operator=(const Jumping&) = delete;
  /// How often it was read.
  static int64_t readings();
};

}  // namespace plumb_test::clock
