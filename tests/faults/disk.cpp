// The wrapped calls. Each asks strike() what is to happen and otherwise does what the caller wanted.
#include "tests/faults/disk.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <map>
#include <set>

extern "C" {
int __real_open(const char* path, int flags, ...);
ssize_t __real_write(int descriptor, const void* data, size_t bytes);
ssize_t __real_read(int descriptor, void* data, size_t bytes);
int __real_fsync(int descriptor);
int __real_close(int descriptor);
int __real_rename(const char* from, const char* to);
int __real_ftruncate(int descriptor, off_t size);
int __real_unlink(const char* path);
}

namespace plumb_test::disk {
namespace {

bool active = false;
Plan plan;
long calls = 0;
const char* failed = "";
std::map<int, std::string> open_files;       // of the directory
std::map<std::string, off_t> synced_bytes;  // of files that were written to; the rest is lost with the power
std::set<std::string> new_names;            // of files whose directory was not synced since they got them: lost with the power, too

bool concerns(const std::string& path) { return active && path.starts_with(plan.directory); }
bool concerns(int descriptor) { return active && open_files.contains(descriptor); }

off_t size_of(int descriptor) {
  struct stat status;
  return fstat(descriptor, &status) == 0 ? status.st_size : 0;
}

[[noreturn]] void die() {
  for (;;) kill(getpid(), SIGKILL);
}

[[noreturn]] void lose_power() {
  for (auto& [path, bytes] : synced_bytes) (void)!truncate(path.c_str(), bytes);
  for (const std::string& path : new_names) __real_unlink(path.c_str());
  die();
}

void pause_briefly() {
  timespec a_millisecond{0, 1'000'000};
  nanosleep(&a_millisecond, nullptr);
}

enum class Verdict { go_on, fail, cut_short };

// `needs_room`: writes and new files. `interruptible`: may fail with EINTR and is then called again.
Verdict strike(const char* call, bool needs_room, bool interruptible) {
  bool now = calls == plan.call, since = calls >= plan.call;
  ++calls;
  switch (plan.fault) {
    case Fault::none: break;
    case Fault::kill:
    case Fault::kill_halfway:
      if (now) die();
      break;
    case Fault::power_loss:
      if (now) lose_power();
      break;
    case Fault::error:
      if (now) return failed = call, errno = plan.error, Verdict::fail;
      break;
    case Fault::full:
      if (since && needs_room) return failed = call, errno = ENOSPC, Verdict::fail;
      break;
    case Fault::cut_short:
      if (now && interruptible) return failed = call, errno = EINTR, Verdict::cut_short;
      break;
    case Fault::slow:
      if (since) pause_briefly();
      break;
  }
  return Verdict::go_on;
}

}  // namespace

void begin(const Plan& wanted) {
  plan = wanted;
  calls = 0;
  failed = "";
  open_files.clear();
  synced_bytes.clear();
  new_names.clear();
  active = true;
}

long end() {
  active = false;
  return calls;
}

const char* failed_call() { return failed; }

namespace {

int open_file(const char* path, int flags, mode_t mode) {
  bool ours = concerns(std::string(path));
  if (ours && strike("open", flags & O_CREAT, false) == Verdict::fail) return -1;
  bool made = (flags & O_CREAT) && access(path, F_OK) != 0;
  int descriptor = __real_open(path, flags, mode);
  if (!ours || descriptor < 0) return descriptor;
  if (made) new_names.insert(path);
  open_files[descriptor] = path;
  if ((flags & O_ACCMODE) != O_RDONLY) synced_bytes.try_emplace(path, size_of(descriptor));
  return descriptor;
}

ssize_t write_file(int descriptor, const void* data, size_t bytes) {
  if (!concerns(descriptor)) return __real_write(descriptor, data, bytes);
  if (plan.fault == Fault::kill_halfway && calls == plan.call) (void)!__real_write(descriptor, data, bytes / 2);
  Verdict verdict = strike("write", true, true);
  if (verdict == Verdict::fail) return -1;
  return __real_write(descriptor, data, verdict == Verdict::cut_short ? 1 : bytes);
}

int sync_file(int descriptor) {
  if (!concerns(descriptor)) return __real_fsync(descriptor);
  if (strike("fsync", false, true) != Verdict::go_on) return -1;
  const std::string& path = open_files[descriptor];
  if (auto entry = synced_bytes.find(path); entry != synced_bytes.end()) entry->second = size_of(descriptor);
  std::erase_if(new_names, [&](const std::string& name) { return name.substr(0, name.rfind('/')) == path; });
  return 0;
}

int close_file(int descriptor) {
  if (!concerns(descriptor)) return __real_close(descriptor);
  bool fails = strike("close", false, false) == Verdict::fail;
  int error = errno;
  open_files.erase(descriptor);
  int result = __real_close(descriptor);  // the descriptor is gone, whatever close says
  if (!fails) return result;
  errno = error;
  return -1;
}

int rename_file(const char* from, const char* to) {
  if (!concerns(std::string(to))) return __real_rename(from, to);
  if (strike("rename", true, false) == Verdict::fail) return -1;
  bool made = access(to, F_OK) != 0;
  int result = __real_rename(from, to);
  if (new_names.erase(from) && made) new_names.insert(to);
  if (auto entry = synced_bytes.extract(from)) {
    entry.key() = to;
    synced_bytes.erase(to);
    synced_bytes.insert(std::move(entry));
  }
  return result;
}

int truncate_file(int descriptor, off_t size) {
  if (concerns(descriptor) && strike("ftruncate", false, false) == Verdict::fail) return -1;
  return __real_ftruncate(descriptor, size);
}

int unlink_file(const char* path) {
  if (concerns(std::string(path))) {
    if (strike("unlink", false, false) == Verdict::fail) return -1;
    synced_bytes.erase(path);
    new_names.erase(path);
  }
  return __real_unlink(path);
}

ssize_t read_bytes(int descriptor, void* data, size_t bytes) {
  if (!concerns(descriptor)) return __real_read(descriptor, data, bytes);
  Verdict verdict = strike("read", false, true);
  return verdict == Verdict::fail ? -1 : __real_read(descriptor, data, verdict == Verdict::cut_short ? 1 : bytes);
}

}  // namespace
}  // namespace plumb_test::disk

extern "C" {

int __wrap_open(const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
  va_end(more);
  return plumb_test::disk::open_file(path, flags, mode);
}
ssize_t __wrap_write(int descriptor, const void* data, size_t bytes) { return plumb_test::disk::write_file(descriptor, data, bytes); }
ssize_t __wrap_read(int descriptor, void* data, size_t bytes) { return plumb_test::disk::read_bytes(descriptor, data, bytes); }
int __wrap_fsync(int descriptor) { return plumb_test::disk::sync_file(descriptor); }
int __wrap_close(int descriptor) { return plumb_test::disk::close_file(descriptor); }
int __wrap_rename(const char* from, const char* to) { return plumb_test::disk::rename_file(from, to); }
int __wrap_ftruncate(int descriptor, off_t size) { return plumb_test::disk::truncate_file(descriptor, size); }
int __wrap_unlink(const char* path) { return plumb_test::disk::unlink_file(path); }

}
