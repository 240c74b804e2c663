// Progress on a terminal, here a pseudo-terminal, and off it.
#include "models/train/progress.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>

using namespace plumb::train;

namespace {

// What `work` writes to standard error, which is `to` meanwhile; it is read from `from`.
template <typename F>
std::string written(int to, int from, F&& work) {
  int kept = dup(STDERR_FILENO);
  dup2(to, STDERR_FILENO);
  work();
  dup2(kept, STDERR_FILENO);
  close(kept);
  std::string text(65536, '\0');
  fcntl(from, F_SETFL, O_NONBLOCK);
  ssize_t n = read(from, text.data(), text.size());
  text.resize(n > 0 ? static_cast<size_t>(n) : 0);
  return text;
}

template <typename F>
std::string in_a_pipe(F&& work) {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  std::string text = written(ends[1], ends[0], work);
  close(ends[0]);
  close(ends[1]);
  return text;
}

}  // namespace

TEST_CASE("progress: off a terminal, about as many lines as are wanted, and none of 0") {
  auto lines = [](int64_t wanted) {
    std::string text = in_a_pipe([&] {
      Progress bar("train", 100, 0, wanted);
      for (int64_t step = 1; step <= 100; ++step) bar.update(step, "loss 1");
    });
    return std::count(text.begin(), text.end(), '\n');
  };
  CHECK(lines(4) == 5);  // the first step too
  CHECK(lines(0) == 0);
}

TEST_CASE("progress: on a terminal, one line that redraws itself; what is said stands above it") {
  int terminal = posix_openpt(O_RDWR | O_NOCTTY);
  REQUIRE(terminal >= 0);
  REQUIRE(grantpt(terminal) == 0);
  REQUIRE(unlockpt(terminal) == 0);
  int end = open(ptsname(terminal), O_RDWR | O_NOCTTY);
  REQUIRE(end >= 0);
  std::string text = written(end, terminal, [] {
    Progress bar("eval", 4, 0, 0);
    bar.update(2, "loss 1");
    bar.say("half");
    bar.update(4, "loss 0");
  });
  close(end);
  close(terminal);
  CHECK(text.find("\r\x1b[Keval [============            ] 2/4  loss 1  0:00 left") != std::string::npos);
  CHECK(text.find("\r\x1b[Khalf\r\n") != std::string::npos);
  CHECK(text.find("\r\x1b[Keval [========================] 4/4  loss 0  0:00 left\r\n") != std::string::npos);
  CHECK(std::count(text.begin(), text.end(), '\n') == 2);
}
