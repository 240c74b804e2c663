// A part of a data file, drawn once and listed, so that it can be drawn again.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace plumb::tools {

/// A data file cut into records: IDX (the first dimension), CIFAR binary (3,073 bytes), CSV (rows; quoted fields may span lines), text
/// (lines).
struct RecordFile {
  enum class Kind { idx, fixed_size, lines };
  std::string head;  ///< what stands before the records: an IDX header, the header line of a CSV file
  std::vector<std::string_view> records;
  Kind kind = Kind::lines;

  /// The file made of the records `indices`, in that order. Throws IndexError for an index outside.
  std::string pick(const std::vector<int64_t>& indices) const;
};

/// Cuts `content`, which must outlive the result. The format comes from `path`'s name (.csv, .bin, .txt; .gz after it is ignored) or, for
/// other names, from the content's IDX header. Throws IoError naming `path` if the content does not fit its format.
RecordFile cut_records(std::string_view content, const std::string& path, bool csv_header);

/// `count` different numbers of [0, total) in rising order, a function of (total, count, seed) alone. Throws ValueError if count > total.
std::vector<int64_t> draw_indices(int64_t total, int64_t count, uint64_t seed);

struct SubsetOptions {
  std::string input, output;
  int64_t count = 0;
  uint64_t seed = 0;
  std::string indices;  ///< a list to take instead of drawing
  bool csv_header = false;
};
/// Writes the subset and, beside it, `<output>.indices`: one number a line after comments that say where they come from.
/// Throws IoError if the output is there already.
void write_subset(const SubsetOptions& options);

}  // namespace plumb::tools
