// Readers of files from strangers, as targets of a fuzzer: bytes in, a value or one of Plumb's errors out, and nothing else.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace plumb_fuzz {

/// What every target keeps to for inputs of up to kLargestInput bytes: one second of processor time, sanitizers included, and kMemory bytes
/// allocated, of which compressed formats need most (a byte of JPEG may stand for 3 KiB of pixels, one of deflate for 1,032 bytes).
constexpr size_t kLargestInput = size_t{64} << 10;
constexpr double kSeconds = 1;
constexpr int64_t kMemory = int64_t{512} << 20;

struct Target {
  const char* name;
  void (*read)(std::string_view bytes);  ///< returns, or throws a plumb::Error
  std::vector<std::string> (*seeds)();   ///< inputs that are read without an error, made by Plumb's own writers where it has them
  const char* dictionary = nullptr;      ///< words of the format: tests/fuzz/dictionaries/NAME.dict
  size_t usual = 1024;                   ///< bytes that reach all of the format; where executions are counted, inputs are no longer
};

/// All of them, by the file that defines them.
std::vector<Target> all_targets();
std::vector<Target> archive_targets();
std::vector<Target> array_targets();
std::vector<Target> configuration_targets();
std::vector<Target> data_set_targets();
std::vector<Target> image_targets();
std::vector<Target> result_targets();
std::vector<Target> run_targets();
std::vector<Target> table_targets();
std::vector<Target> tokenizer_targets();
std::vector<Target> tool_targets();

/// True if the target refused the bytes with one of Plumb's errors. OutOfMemoryError is none that a file may cause: it, and any other
/// exception, comes through.
bool refused(const Target& target, std::string_view bytes);

/// A file that lies in memory, for the rest of the program: writing to a disk would take longer than most readers.
class MemoryFile {
 public:
  MemoryFile();
  const std::string& path() const { return path_; }
  /// Replaces its content.
  void put(std::string_view bytes) const;

 private:
  int descriptor_;
  std::string path_;
};
/// Calls `read` with the path of a file that holds `bytes`. The file lies in memory and is the same for every call.
void with_file(std::string_view bytes, const std::function<void(const std::string& path)>& read);
/// What `write` leaves in the file whose path it is given; `ending` is the path's.
std::string written(const std::string& ending, const std::function<void(const std::string& path)>& write);

}  // namespace plumb_fuzz
