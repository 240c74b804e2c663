// The lock is the system's, so that a process that is killed cannot leave it behind, and no number of a process is ever compared.
#include "models/train/run_lock.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>

#include "engine/core/error.h"

namespace fs = std::filesystem;

namespace plumb::train {
namespace {

// "process 4242 on alpha since 2026-11-27 09:30:00 UTC"
std::string this_process() {
  char host[256] = "";
  if (::gethostname(host, sizeof host - 1) != 0 || !host[0]) std::strcpy(host, "this machine");
  return fmt::format("process {} on {} since {:%Y-%m-%d %H:%M:%S} UTC", ::getpid(), host, fmt::gmtime(std::time(nullptr)));
}

// What the holder wrote; another process may have the lock and not have written yet.
std::string holder(int descriptor) {
  char text[400];
  ssize_t length = ::pread(descriptor, text, sizeof text, 0);
  return length > 0 ? std::string(text, static_cast<size_t>(length)) : "another process";
}

}  // namespace

// A run that comes from elsewhere may hold links. What is written through them, or in place of what they point to, would lie outside of it.
static void refuse_links(const std::string& path) {
  std::error_code error;
  for (fs::recursive_directory_iterator entry(path, error), end; !error && entry != end; entry.increment(error))
    if (entry->is_symlink(error))
      throw ConfigError("run: " + entry->path().string() +
                        " is a symbolic link, and training would write where it points; put a copy in its place, or remove it");
}

RunLock::RunLock(const std::string& path) {
  refuse_links(path);
  std::string file = path + "/.lock";
  do descriptor_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
  while (descriptor_ < 0 && errno == EINTR);
  if (descriptor_ < 0)
    throw IoError("run: " + file + ": cannot be opened for writing: " + std::strerror(errno) +
                  "; whoever trains a run writes into its directory");
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    std::string who = holder(descriptor_);
    ::close(descriptor_);
    throw ConfigError("run: " + path + " is being trained by " + who + "; wait for its end, or interrupt it there (it saves a checkpoint)");
  }
  // Who holds it is for people: a full disk must not matter here.
  std::string who = this_process();
  (void)!(::ftruncate(descriptor_, 0) == 0 && ::pwrite(descriptor_, who.data(), who.size(), 0) >= 0);
}

RunLock::~RunLock() { ::close(descriptor_); }

}  // namespace plumb::train
