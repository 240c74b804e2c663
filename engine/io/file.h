// Whole files in, whole files out: reading with transparent gunzip, writing that leaves the old file or the new one and nothing between.
#pragma once
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace plumb {

/// The bytes of the file at `path`, gunzipped if they begin with gzip's magic number (several members are joined).
/// Throws IoError naming the path, and what to do, if it is missing, a directory, unreadable, or its gzip data is truncated or corrupt.
std::string read_file(const std::string& path);
/// read_file, but an empty file is an IoError as well: for formats of which no file is empty.
std::string read_nonempty_file(const std::string& path);
/// A text without its byte-order mark. Throws IoError if it is empty or UTF-16; its UTF-8 is not checked.
std::string read_text(const std::string& path);

/// The path names something (a file, a directory, a device).
bool path_exists(const std::string& path);
/// Replaces the file at `path` by `content`, or leaves it as it was and throws IoError (AtomicFile).
void write_file_atomic(const std::string& path, std::string_view content);
/// write_file_atomic; gzipped if the path ends in ".gz".
void write_data_file(const std::string& path, std::string_view content);

/// `data` as one gzip member, without a time stamp, so that equal data gives equal bytes.
std::string gzip(std::string_view data);
/// The data of all members in `compressed`. Throws IoError naming `path` if they are truncated or corrupt.
std::string gunzip(std::string_view compressed, const std::string& path);

/// Throws IoError "format: path: problem".
[[noreturn]] void throw_io_error(std::string_view format, const std::string& path, const std::string& problem);

/// A file written piece by piece that appears under its name all at once: the pieces go to a temporary file in the same directory,
/// commit() flushes it to the disk, renames it and flushes the directory. Destroyed before commit(), it leaves no trace. A link is
/// followed; a device or pipe (/dev/stdout) is written directly. All of it throws IoError, naming the path: full disk, no permission, no
/// directory.
class AtomicFile {
 public:
  explicit AtomicFile(const std::string& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* data, size_t bytes);
  void write(std::string_view data) { write(data.data(), data.size()); }
  void commit();

 private:
  [[noreturn]] void fail(const char* action, int error);
  void discard() noexcept;
  std::string path_, target_, temporary_;
  int descriptor_ = -1;
};

/// A file's bytes as memory. Pages are read when touched and belong to this process: writing to them does not change the file.
/// The file may be replaced (renamed over) or deleted meanwhile, but not shortened in place.
class MappedFile {
 public:
  /// Throws IoError if `path` is missing, empty, a directory or unreadable.
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  std::string_view text() const { return {reinterpret_cast<const char*>(data_), size_}; }

 private:
  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace plumb
