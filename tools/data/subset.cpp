// Records are cut and copied as bytes: what is kept is kept exactly.
#include "tools/data/subset.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <numeric>

#include "engine/core/error.h"
#include "engine/core/generator.h"
#include "engine/io/file.h"
#include "engine/io/idx.h"
#include "engine/io/sha256.h"

namespace plumb::tools {
namespace {

constexpr size_t kCifarRecord = 1 + 3 * 32 * 32;

void cut_equal(RecordFile& file, std::string_view data, size_t size) {
  for (size_t at = 0; at < data.size(); at += size) file.records.push_back(data.substr(at, size));
}

RecordFile cut_idx(std::string_view content, const std::string& path) {
  if (!content.starts_with(std::string_view("\0\0", 2)))
    throw IoError("subset: " + path + ": neither .csv, .bin nor .txt by its name, nor IDX by its content");
  IdxHeader header = read_idx_header(content, path);
  std::string_view elements = content.substr(header.bytes);
  RecordFile file{std::string(content.substr(0, header.bytes)), {}, RecordFile::Kind::idx};
  if (elements.empty()) throw IoError("subset: " + path + ": an array of shape " + to_string(header.shape) + " has no records");
  cut_equal(file, elements, elements.size() / static_cast<size_t>(header.shape[0]));
  return file;
}

RecordFile cut_cifar(std::string_view content, const std::string& path) {
  if (content.empty() || content.size() % kCifarRecord != 0)
    throw IoError(fmt::format("subset: {}: {} bytes are no whole number of CIFAR records of {}", path, content.size(), kCifarRecord));
  RecordFile file{"", {}, RecordFile::Kind::fixed_size};
  cut_equal(file, content, kCifarRecord);
  return file;
}

/// Lines with their ends. In a CSV file a line end inside quotes does not count, and empty lines are no rows.
RecordFile cut_lines(std::string_view content, bool csv, bool header) {
  RecordFile file;
  bool quoted = false;
  size_t start = 0;
  for (size_t at = 0; at < content.size(); ++at) {
    if (csv && content[at] == '"') quoted = !quoted;
    bool last = at + 1 == content.size();
    if (!last && (content[at] != '\n' || quoted)) continue;
    std::string_view line = content.substr(start, at + 1 - start);
    start = at + 1;
    if (!csv || line.find_first_not_of("\r\n") != std::string_view::npos) file.records.push_back(line);
  }
  if (header && !file.records.empty()) {
    file.head = file.records.front();
    file.records.erase(file.records.begin());
  }
  return file;
}

std::vector<int64_t> read_indices(const std::string& path) {
  std::string text = read_text(path);
  std::vector<int64_t> indices;
  for (size_t at = 0; at < text.size();) {
    size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line(text.data() + at, end - at);
    at = end + 1;
    if (line.empty() || line[0] == '#') continue;
    int64_t value = 0;
    auto [rest, error] = std::from_chars(line.begin(), line.end(), value);
    if (error != std::errc() || rest != line.end()) throw IoError(fmt::format("subset: {}: \"{}\" is no index", path, line));
    indices.push_back(value);
  }
  return indices;
}

std::string listing(const SubsetOptions& o, const std::vector<int64_t>& indices, size_t total) {
  std::string origin = o.indices.empty() ? fmt::format("drawn with seed {}", o.seed) : "listed in " + o.indices;
  std::string text = fmt::format("# {} of the {} records of {}, {}\n# SHA-256 of that file: {}\n", indices.size(), total, o.input, origin,
                                 sha256_of_file(o.input));
  for (int64_t i : indices) text += fmt::format("{}\n", i);
  return text;
}

}  // namespace

std::string RecordFile::pick(const std::vector<int64_t>& indices) const {
  std::string out = head;
  if (kind == Kind::idx) {
    auto count = static_cast<uint32_t>(indices.size());
    for (int byte = 0; byte < 4; ++byte) out[4 + byte] = static_cast<char>(count >> (24 - 8 * byte));
  }
  for (int64_t i : indices) {
    if (i < 0 || i >= static_cast<int64_t>(records.size()))
      throw IndexError(fmt::format("subset: index {} is outside [0, {})", i, records.size()));
    if (kind == Kind::lines && !out.empty() && !out.ends_with('\n')) out += '\n';  // the file's last line may lack its end
    out += records[i];
  }
  return out;
}

RecordFile cut_records(std::string_view content, const std::string& path, bool csv_header) {
  std::string name = path.ends_with(".gz") ? path.substr(0, path.size() - 3) : path;
  if (name.ends_with(".csv")) return cut_lines(content, true, csv_header);
  if (name.ends_with(".txt")) return cut_lines(content, false, false);
  if (name.ends_with(".bin")) return cut_cifar(content, path);
  return cut_idx(content, path);
}

std::vector<int64_t> draw_indices(int64_t total, int64_t count, uint64_t seed) {
  if (count < 1 || count > total) throw ValueError(fmt::format("subset: {} records cannot be drawn from {}", count, total));
  std::vector<int64_t> all(static_cast<size_t>(total));
  std::iota(all.begin(), all.end(), 0);
  Generator generator(seed);
  for (int64_t i = 0; i < count; ++i)
    std::swap(all[i], all[i + static_cast<int64_t>(generator.next_below(static_cast<uint64_t>(total - i)))]);
  all.resize(static_cast<size_t>(count));
  std::sort(all.begin(), all.end());
  return all;
}

void write_subset(const SubsetOptions& o) {
  for (const std::string& path : {o.output, o.output + ".indices"})
    if (path_exists(path)) throw IoError("subset: " + path + " is there already; choose another --out");
  std::string content = read_nonempty_file(o.input);
  RecordFile file = cut_records(content, o.input, o.csv_header);
  std::vector<int64_t> indices =
      o.indices.empty() ? draw_indices(static_cast<int64_t>(file.records.size()), o.count, o.seed) : read_indices(o.indices);
  std::string picked = file.pick(indices);
  write_file_atomic(o.output + ".indices", listing(o, indices, file.records.size()));
  try {
    write_data_file(o.output, picked);
  } catch (...) {
    std::error_code ignored;
    std::filesystem::remove(o.output + ".indices", ignored);
    throw;
  }
}

}  // namespace plumb::tools
