// clock_gettime of this program, which libraries find before the C library's.
#include "tests/faults/clock.h"

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>

namespace plumb_test::clock {
namespace {
std::atomic<int64_t> jump{0}, count{0};
}

Jumping::Jumping(int64_t seconds) {
  count = 0;
  jump = seconds;
}
Jumping::~Jumping() { jump = 0; }
int64_t Jumping::readings() { return count; }

}  // namespace plumb_test::clock

extern "C" int clock_gettime(clockid_t id, timespec* now) noexcept {
  using namespace plumb_test::clock;
  long result = syscall(SYS_clock_gettime, id, now);
  if (id != CLOCK_REALTIME || jump == 0) return static_cast<int>(result);
  int64_t n = ++count;
  now->tv_sec += (n % 2 ? n : -n) * jump;
  return static_cast<int>(result);
}
