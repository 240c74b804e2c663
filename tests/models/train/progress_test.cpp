// Progress on a terminal, here a pseudo-terminal, and off it.
#include "models/train/progress.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "tests/pseudo_terminal.h"

using namespace plumb::train;

namespace {

// Standard error is `to` while `work` is done.
template <typename F>
void with_errors_to(int to, F&& work) {
  int kept = dup(STDERR_FILENO);
  dup2(to, STDERR_FILENO);
  work();
  dup2(kept, STDERR_FILENO);
  close(kept);
}

template <typename F>
std::string in_a_pipe(F&& work) {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  with_errors_to(ends[1], work);
  std::string text(65536, '\0');
  fcntl(ends[0], F_SETFL, O_NONBLOCK);
  ssize_t n = read(ends[0], text.data(), text.size());
  text.resize(n > 0 ? static_cast<size_t>(n) : 0);
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
  plumb_test::PseudoTerminal terminal;
  with_errors_to(terminal.end, [] {
    Progress bar("eval", 4, 0, 0);
    bar.update(2, "loss 1");
    bar.say("half");
    bar.update(4, "loss 0");
  });
  std::string text = terminal.text();
  CHECK(text.find("\r\x1b[Keval [============            ] 2/4  loss 1  0:00 left") != std::string::npos);
  CHECK(text.find("\r\x1b[Khalf\r\n") != std::string::npos);
  CHECK(text.find("\r\x1b[Keval [========================] 4/4  loss 0  0:00 left\r\n") != std::string::npos);
  CHECK(std::count(text.begin(), text.end(), '\n') == 2);
}
