// A program that is started and spoken with in lines.
#pragma once
#include <sys/types.h>

#include <cstdio>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace plumb::tools {

/// Changes to the environment: names with their values, or nothing to leave them out.
using Environment = std::map<std::string, std::optional<std::string>>;

/// A running program whose standard input and output are ours; what it writes to its standard error is kept. Killed if it still runs at the
/// end.
class Child {
 public:
  /// `command`: the program, looked for in PATH, and its arguments. Throws ConfigError, naming the program, if it cannot be started.
  Child(std::vector<std::string> command, const Environment& changes);
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  /// Sends a line. What a program that has ended does not read is lost.
  void send(const std::string& line);
  /// The next line of its output, waited for; nothing once it has closed it.
  std::optional<std::string> receive();
  /// It will be sent no more.
  void close_input();
  /// Waits for its end: the exit code, or 128 + the signal.
  int wait();
  /// The last line of what it wrote to its standard error so far; empty if nothing.
  std::string last_complaint();

 private:
  pid_t pid_ = 0;
  int socket_ = -1;
  std::FILE* errors_ = nullptr;
  std::string unread_;
};

}  // namespace plumb::tools
