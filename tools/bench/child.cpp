// One socket serves both directions: writing to it can be told not to raise SIGPIPE.
#include "tools/bench/child.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "engine/core/error.h"

namespace plumb::tools {
namespace {

std::vector<std::string> changed_environment(const Environment& changes) {
  std::vector<std::string> all;
  for (char** entry = environ; *entry; ++entry) {
    std::string text = *entry;
    if (!changes.contains(text.substr(0, text.find('=')))) all.push_back(text);
  }
  for (const auto& [name, value] : changes)
    if (value) all.push_back(name + "=" + *value);
  return all;
}

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> all;
  for (std::string& word : words) all.push_back(word.data());
  all.push_back(nullptr);
  return all;
}

int spawn(pid_t& pid, std::vector<std::string> command, const Environment& changes, int in_and_out, int errors) {
  std::vector<std::string> environment = changed_environment(changes);
  std::vector<char*> arguments = pointers(command), variables = pointers(environment);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in_and_out, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, in_and_out, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, errors, STDERR_FILENO);
  int error = posix_spawnp(&pid, arguments[0], &actions, nullptr, arguments.data(), variables.data());
  posix_spawn_file_actions_destroy(&actions);
  return error;
}

}  // namespace

Child::Child(std::vector<std::string> command, const Environment& changes) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    throw IoError("bench: no socket can be made: " + std::string(std::strerror(errno)));
  socket_ = ends[0];
  errors_ = std::tmpfile();
  int error = errors_ ? spawn(pid_, command, changes, ends[1], fileno(errors_)) : errno;
  close(ends[1]);
  if (error == 0) return;
  close(socket_);
  if (errors_) std::fclose(errors_);
  throw ConfigError(command[0] + " cannot be started: " + std::strerror(error));
}

Child::~Child() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    wait();
  }
  close(socket_);
  std::fclose(errors_);
}

void Child::send(const std::string& line) {
  std::string text = line + "\n";
  for (size_t sent = 0; sent < text.size();) {
    ssize_t n = ::send(socket_, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return;
    sent += static_cast<size_t>(n);
  }
}

std::optional<std::string> Child::receive() {
  for (;;) {
    if (size_t end = unread_.find('\n'); end != std::string::npos) {
      std::string line = unread_.substr(0, end);
      unread_.erase(0, end + 1);
      return line;
    }
    char buffer[4096];
    ssize_t n = read(socket_, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return std::nullopt;
    unread_.append(buffer, static_cast<size_t>(n));
  }
}

void Child::close_input() { shutdown(socket_, SHUT_WR); }

int Child::wait() {
  if (pid_ <= 0) return 0;
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {}
  pid_ = 0;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::string Child::last_complaint() {
  std::rewind(errors_);
  std::string text;
  for (int c; (c = std::fgetc(errors_)) != EOF;) text.push_back(static_cast<char>(c));
  while (text.ends_with('\n')) text.pop_back();
  return text.substr(text.rfind('\n') + 1);  // npos + 1 is 0
}

}  // namespace plumb::tools
