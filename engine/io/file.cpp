// Reading and writing whole files through POSIX calls, so that every failure is known by its cause.
#include "engine/io/file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <new>

#include "engine/core/error.h"
#include "engine/io/flush.h"
#include "engine/io/temporary_files.h"

namespace plumb {

void throw_io_error(std::string_view format, const std::string& path, const std::string& problem) {
  throw IoError(std::string(format) + ": " + path + ": " + problem);
}

namespace {

std::string lower_case_error(int error) {
  std::string text = std::strerror(error);
  if (text.size() > 1 && text[0] >= 'A' && text[0] <= 'Z' && text[1] >= 'a') text[0] = static_cast<char>(text[0] - 'A' + 'a');
  return text;
}

[[noreturn]] void fail_read(const std::string& path, int error) {
  if (error == ENOENT) {
    bool gzipped = path_exists(path + ".gz");
    throw_io_error("read", path, gzipped ? "no such file, but " + path + ".gz is there: give that" : "no such file; check the path");
  }
  if (error == EISDIR) throw_io_error("read", path, "is a directory; give a file");
  if (error == EACCES) throw_io_error("read", path, "permission denied; make it readable (chmod +r)");
  throw_io_error("read", path, lower_case_error(error));
}

class ReadDescriptor {
 public:
  explicit ReadDescriptor(const std::string& path) : number_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (path.empty()) throw IoError("read: the path is empty");
    if (number_ < 0) fail_read(path, errno);
    if (::fstat(number_, &status_) == 0 && S_ISDIR(status_.st_mode)) {
      ::close(number_);
      fail_read(path, EISDIR);
    }
  }
  ~ReadDescriptor() { ::close(number_); }
  ReadDescriptor(const ReadDescriptor&) = delete;
  ReadDescriptor& operator=(const ReadDescriptor&) = delete;
  int number() const { return number_; }
  size_t size() const { return status_.st_size > 0 ? static_cast<size_t>(status_.st_size) : 0; }

 private:
  int number_;
  struct stat status_ = {};
};

// The size is only a hint: pipes and /proc files report none.
std::string read_descriptor(const ReadDescriptor& file, const std::string& path) {
  std::string bytes;
  size_t filled = 0;
  bytes.resize(file.size() + 1);
  for (;;) {
    if (filled == bytes.size()) bytes.resize(2 * bytes.size() + 4096);
    ssize_t got = ::read(file.number(), bytes.data() + filled, bytes.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_read(path, errno);
    if (got == 0) break;
    filled += static_cast<size_t>(got);
  }
  bytes.resize(filled);
  return bytes;
}

bool is_gzip(std::string_view bytes) { return bytes.size() >= 2 && bytes[0] == '\x1f' && bytes[1] == '\x8b'; }

// Returns 0 or the error. What cannot be flushed (a pipe, a device, some network file systems' directories) is as safe as it gets.
int flush(int descriptor) {
  while (::fsync(descriptor) != 0) {
    if (errno == EINTR) continue;
    return errno == EINVAL || errno == EROFS || errno == EOPNOTSUPP ? 0 : errno;
  }
  return 0;
}

// "dir/.name.PID.N.tmp": hidden, in the same file system, unlike any other writer's.
std::string temporary_beside(const std::string& target) {
  static std::atomic<uint64_t> counter{0};
  size_t slash = target.rfind('/');
  size_t start = slash == std::string::npos ? 0 : slash + 1;
  std::string suffix = "." + std::to_string(::getpid()) + "." + std::to_string(counter++) + ".tmp";
  return target.substr(0, start) + "." + target.substr(start, std::min(target.size() - start, NAME_MAX - suffix.size() - 1)) + suffix;
}

// The process that made a temporary file of this name, or 0 if it is none.
pid_t maker_of(const std::string& name) {
  int pid = 0, length = 0;
  size_t end = name.size(), points = 0;
  while (end > 0 && points < 3) points += name[--end] == '.';
  bool matched = points == 3 && name[0] == '.' && std::sscanf(name.c_str() + end, ".%9d.%*u.tmp%n", &pid, &length) == 1;
  return matched && end + static_cast<size_t>(length) == name.size() ? pid : 0;
}

}  // namespace

int flush_directory_of(const std::string& path) {
  size_t slash = path.rfind('/');
  std::string directory = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  int descriptor = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return errno == EACCES ? 0 : errno;  // a directory that may be written but not read: the rename still stands
  int error = flush(descriptor);
  ::close(descriptor);
  return error;
}

void remove_abandoned_files(const std::string& directory) {
  std::error_code ignored;
  for (std::filesystem::directory_iterator entry(directory, ignored), end; !ignored && entry != end; entry.increment(ignored)) {
    pid_t maker = maker_of(entry->path().filename().string());
    if (maker > 0 && ::kill(maker, 0) != 0 && errno == ESRCH) ::unlink(entry->path().c_str());
  }
}

bool path_exists(const std::string& path) {
  struct stat status;
  return ::stat(path.c_str(), &status) == 0;
}

std::string read_file(const std::string& path) {
  try {
    std::string bytes = read_descriptor(ReadDescriptor(path), path);
    return is_gzip(bytes) ? gunzip(bytes, path) : bytes;
  } catch (const std::bad_alloc&) { throw OutOfMemoryError("read: " + path + ": does not fit into memory"); }
}

std::string read_nonempty_file(const std::string& path) {
  std::string bytes = read_file(path);
  if (bytes.empty()) throw_io_error("read", path, "is empty; was its download or copy cut off?");
  return bytes;
}

std::string read_text(const std::string& path) {
  std::string text = read_nonempty_file(path);
  if (text.starts_with("\xff\xfe") || text.starts_with("\xfe\xff"))
    throw_io_error("read", path, "is UTF-16; convert it to UTF-8 (iconv -t UTF-8)");
  if (text.starts_with("\xef\xbb\xbf")) text.erase(0, 3);
  if (text.empty()) throw_io_error("read", path, "holds nothing but a byte-order mark");
  return text;
}

void write_file_atomic(const std::string& path, std::string_view content) {
  AtomicFile file(path);
  file.write(content);
  file.commit();
}

void write_data_file(const std::string& path, std::string_view content) {
  if (path.ends_with(".gz"))
    write_file_atomic(path, gzip(content));
  else
    write_file_atomic(path, content);
}

AtomicFile::AtomicFile(const std::string& path) : path_(path), target_(path) {
  if (path.empty()) throw IoError("write: the path is empty");
  struct stat status;
  bool exists = ::stat(path.c_str(), &status) == 0;
  if (exists && S_ISDIR(status.st_mode)) throw_io_error("write", path, "is a directory; give a file name");
  if (exists && !S_ISREG(status.st_mode)) {
    descriptor_ = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    if (descriptor_ < 0) fail("open", errno);
    return;
  }
  if (exists) {
    std::unique_ptr<char, decltype(&std::free)> resolved(::realpath(path.c_str(), nullptr), std::free);
    if (resolved) target_ = resolved.get();
  }
  std::string temporary;
  do {  // a process before us may have had our number, as in a container, and have left files of these names
    temporary = temporary_beside(target_);
    descriptor_ = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  } while (descriptor_ < 0 && errno == EEXIST);
  if (descriptor_ < 0) fail("create", errno);
  temporary_ = std::move(temporary);
  if (exists) (void)!::fchmod(descriptor_, status.st_mode & 07777);
}

AtomicFile::~AtomicFile() { discard(); }

void AtomicFile::discard() noexcept {
  if (descriptor_ >= 0) ::close(descriptor_);
  descriptor_ = -1;
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
  temporary_.clear();
}

void AtomicFile::fail(const char* action, int error) {
  std::string kept = temporary_.empty() ? "" : path_exists(path_) ? "; the old file is unchanged" : "; nothing was written";
  discard();
  if (error == ENOSPC || error == EDQUOT)
    throw_io_error("write", path_, "the disk is full (or the quota used up): free some space or write elsewhere" + kept);
  if (error == EFBIG) throw_io_error("write", path_, "the file would exceed the file size limit (ulimit -f)" + kept);
  if (error == ENOENT) throw_io_error("write", path_, "its directory does not exist; make it first");
  if (error == EACCES || error == EPERM) throw_io_error("write", path_, "permission denied; choose a directory that you may write to");
  if (error == EROFS) throw_io_error("write", path_, "is on a read-only file system; write elsewhere");
  throw_io_error("write", path_, std::string("cannot ") + action + ": " + lower_case_error(error) + kept);
}

void AtomicFile::write(const void* data, size_t bytes) {
  if (descriptor_ < 0) throw_io_error("write", path_, "already committed");
  const char* next = static_cast<const char*>(data);
  while (bytes > 0) {
    ssize_t put = ::write(descriptor_, next, std::min(bytes, size_t{1} << 30));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) fail("write", errno);
    next += put;
    bytes -= static_cast<size_t>(put);
  }
}

void AtomicFile::commit() {
  if (descriptor_ < 0) throw_io_error("write", path_, "already committed");
  if (int error = flush(descriptor_)) fail("flush", error);
  int descriptor = std::exchange(descriptor_, -1);
  if (::close(descriptor) != 0 && errno != EINTR) fail("close", errno);
  if (temporary_.empty()) return;
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) fail("rename", errno);
  temporary_.clear();
  if (int error = flush_directory_of(target_))
    throw_io_error("write", path_,
                   "is written, but may be gone after a loss of power: its directory cannot be flushed: " + lower_case_error(error));
}

MappedFile::MappedFile(const std::string& path) {
  ReadDescriptor file(path);
  size_ = file.size();
  if (size_ == 0) throw_io_error("read", path, "is empty; was its download or copy cut off?");
  // Private and writable: a tensor over the file may be changed in place, which copies the page instead of the file.
  void* memory = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, file.number(), 0);
  if (memory == MAP_FAILED) throw_io_error("read", path, "cannot be mapped into memory: " + lower_case_error(errno));
  data_ = static_cast<std::byte*>(memory);
}

MappedFile::~MappedFile() { ::munmap(data_, size_); }

}  // namespace plumb
