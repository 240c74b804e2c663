// A terminal for programs that look whether they write to one.
#pragma once
#include <doctest/doctest.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <string>

namespace plumb_test {

/// What is written to `path` (or the descriptor `end`) goes through a terminal's line discipline: "\n" comes out as "\r\n".
class PseudoTerminal {
 public:
  PseudoTerminal() : reader_(posix_openpt(O_RDWR | O_NOCTTY)) {
    REQUIRE(reader_ >= 0);
    REQUIRE(grantpt(reader_) == 0);
    REQUIRE(unlockpt(reader_) == 0);
    path = ptsname(reader_);
    end = open(path.c_str(), O_RDWR | O_NOCTTY);
    REQUIRE(end >= 0);
  }
  ~PseudoTerminal() {
    close(end);
    close(reader_);
  }
  PseudoTerminal(const PseudoTerminal&) = delete;
  PseudoTerminal& operator=(const PseudoTerminal&) = delete;

  /// What has been written so far and not read yet. The terminal keeps a few thousand characters.
  std::string text() const {
    std::string all;
    char some[4096];
    fcntl(reader_, F_SETFL, O_NONBLOCK);
    for (ssize_t n; (n = read(reader_, some, sizeof some)) > 0;) all.append(some, static_cast<size_t>(n));
    return all;
  }

  std::string path;
  int end;

 private:
  int reader_;
};

}  // namespace plumb_test
