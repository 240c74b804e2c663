// Choices that were measured once and are kept in a file: which algorithm a library should use for which shape.
#pragma once
#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>

namespace plumb::cuda_layout {

/// What is written down for a key: up to eight words (an algorithm of cuBLASLt is eight, a number is one).
using Choice = std::array<uint64_t, 8>;

/// A text file of lines `key = words in hexadecimal`. A later line wins. Safe to use from several threads, and by several processes that
/// add to one file. Without a path there are no choices and none are kept.
class TunedChoices {
 public:
  /// Reads the file, if there is one. Throws IoError for a line that cannot be read.
  explicit TunedChoices(std::string path);
  /// Whether choices are measured and kept: there is a path.
  bool tuning() const { return !path_.empty(); }
  std::optional<Choice> find(const std::string& key) const;
  /// Keeps the choice, and appends it to the file. Throws IoError if it cannot be written.
  void add(const std::string& key, const Choice& choice);

 private:
  std::string path_;
  mutable std::mutex mutex_;
  std::map<std::string, Choice> choices_;
};

/// Those of the file that the environment variable PLUMB_CUDA_TUNE names. Unset: libraries choose by their heuristics, which depend on the
/// shape and the library's version alone, so that two runs compute the same bits.
TunedChoices& tuned_choices();

}  // namespace plumb::cuda_layout
