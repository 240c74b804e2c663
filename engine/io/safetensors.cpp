// Reading and writing safetensors. The header is checked as a whole before a single tensor is made.
#include "engine/io/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <vector>

#include "engine/io/crc32c.h"
#include "engine/io/file.h"
#include "engine/io/host_rows.h"

namespace plumb {
namespace {

using Json = nlohmann::json;
static_assert(std::endian::native == std::endian::little, "safetensors holds little-endian numbers, which are mapped as they are");

constexpr size_t kLargestHeader = 100'000'000;  // the reference implementation's limit
constexpr const char* kMetadata = "__metadata__";

// Checksums are CRC-32C, written as 8 hexadecimal digits. One string of the metadata has those of each tensor's bytes, one after another in
// the order of data_offsets; another that of all bytes before the data, taken with its own digits as 0. Two keys, so that damage to the
// name of one of them does not make the file one without checksums.
constexpr const char* kTensorsSum = "plumb.crc32c.tensors";
constexpr const char* kHeaderSum = "plumb.crc32c.header";
constexpr size_t kDigits = 8;
std::string digits(uint32_t sum) { return fmt::format("{:08x}", sum); }

// Where its digits stand among the bytes before the data; npos if nowhere. Quotation marks within a name or a text are escaped.
size_t place_of_header_sum(std::string_view bytes) {
  std::string key = fmt::format("\"{}\":\"", kHeaderSum);
  size_t at = bytes.find(key, 8);
  return at == std::string_view::npos ? at : at + key.size();
}

constexpr std::pair<const char*, DType> kTypes[] = {{"F64", f64}, {"F32", f32}, {"BF16", bf16}, {"F16", f16},
                                                    {"I64", i64}, {"I32", i32}, {"U8", u8},     {"BOOL", boolean}};

std::optional<DType> type_called(std::string_view name) {
  for (auto [n, t] : kTypes)
    if (n == name) return t;
  return std::nullopt;
}
const char* name_of(DType type) {
  for (auto [n, t] : kTypes)
    if (t == type) return n;
  return "";
}

struct Entry {
  std::string name;
  DType dtype;
  Shape shape;
  size_t begin, end;
};

struct Header {
  std::vector<Entry> entries;  // in order of their place in the file
  FileMetadata metadata;       // without the checksums
  std::optional<std::string> sums;  // of the entries, kDigits each
  size_t data_start = 0;
};

// Checks one file; every complaint names it.
class HeaderReader {
 public:
  HeaderReader(std::string_view file, const std::string& path) : file_(file), path_(path) {}

  Header read() {
    Json json = parse();
    Header header;
    header.data_start = 8 + header_size_;
    for (auto& [name, value] : json.items()) {
      if (name == kMetadata)
        header.metadata = read_metadata(value);
      else
        header.entries.push_back(read_entry(name, value));
    }
    check_ranges(header);
    take_checksums(header);
    return header;
  }

 private:
  [[noreturn]] void fail(const std::string& problem) const { throw_io_error("safetensors", path_, problem); }
  [[noreturn]] void fail(const std::string& name, const std::string& problem) const { fail("tensor \"" + name + "\" " + problem); }

  Json parse() {
    if (file_.starts_with("\x1f\x8b")) fail("is gzip-compressed; gunzip it first, since it is read in place");
    if (file_.size() < 8) fail("is truncated: " + std::to_string(file_.size()) + " bytes are no safetensors file");
    uint64_t size;
    std::memcpy(&size, file_.data(), 8);
    if (size > kLargestHeader) fail("is no safetensors file: its first 8 bytes give a header of " + std::to_string(size) + " bytes");
    if (size > file_.size() - 8)
      fail("is truncated: its header of " + std::to_string(size) + " bytes ends beyond the file's " + std::to_string(file_.size()));
    header_size_ = size;
    std::string_view text = file_.substr(8, size);
    if (text.empty() || text[0] != '{') fail("is no safetensors file: its header does not begin with {");
    check_header_sum();
    return parse_object(text);
  }

  [[noreturn]] void fail_sum() const {
    fail(fmt::format("its header does not fit its checksum: the file is damaged, restore it from a copy (a program that rewrites it must "
                     "drop \"{}\" and \"{}\")",
                     kHeaderSum, kTensorsSum));
  }

  // Before anything else is made of the text, so that damage is called by its name.
  void check_header_sum() {
    size_t begin = place_of_header_sum(file_.substr(0, 8 + header_size_));
    if (begin == std::string_view::npos) return;
    std::string bytes(file_.substr(0, 8 + header_size_));
    if (begin + kDigits > bytes.size()) fail_sum();
    std::string stored = bytes.substr(begin, kDigits);
    bytes.replace(begin, kDigits, kDigits, '0');
    if (stored != digits(crc32c(bytes))) fail_sum();
    has_sum_ = true;
  }

  void take_checksums(Header& header) const {
    FileMetadata& metadata = header.metadata;
    if (auto found = metadata.find(kTensorsSum); found != metadata.end()) header.sums = found->second;
    if (header.sums.has_value() != has_sum_) fail_sum();
    if (header.sums && header.sums->size() != kDigits * header.entries.size()) fail_sum();
    metadata.erase(kTensorsSum);
    metadata.erase(kHeaderSum);
  }

  // A name given twice at the same depth of the same object is refused: the parser would silently keep the last.
  Json parse_object(std::string_view text) const {
    std::vector<std::set<std::string>> names;
    auto callback = [&](int depth, Json::parse_event_t event, Json& value) {
      if (event == Json::parse_event_t::object_start) names.resize(std::max<size_t>(names.size(), static_cast<size_t>(depth) + 1));
      if (event == Json::parse_event_t::object_start) names[static_cast<size_t>(depth)].clear();
      if (event == Json::parse_event_t::key && !names[static_cast<size_t>(depth) - 1].insert(value.get_ref<const std::string&>()).second)
        fail("its header has the name \"" + value.get<std::string>() + "\" twice");
      if (depth > 8) fail("its header is nested too deeply");
      return true;
    };
    try {
      return Json::parse(text.begin(), text.end(), callback);
    } catch (const Json::exception& e) { fail(std::string("its header is corrupt: ") + e.what()); }
  }

  FileMetadata read_metadata(const Json& value) const {
    if (!value.is_object()) fail("__metadata__ is not an object");
    FileMetadata metadata;
    for (auto& [key, text] : value.items()) {
      if (!text.is_string()) fail("__metadata__: \"" + key + "\" is not a string");
      metadata[key] = text.get<std::string>();
    }
    return metadata;
  }

  size_t read_size(const std::string& name, const Json& value, const char* what) const {
    if (!value.is_number_unsigned())
      fail(name, std::string("has a ") + what + " that is no size: " + value.dump(-1, ' ', true, Json::error_handler_t::replace));
    return value.get<uint64_t>();
  }

  Entry read_entry(const std::string& name, const Json& value) const {
    if (!value.is_object() || !value.contains("dtype") || !value.contains("shape") || !value.contains("data_offsets"))
      fail(name, "lacks dtype, shape or data_offsets");
    const Json &type = value["dtype"], &shape = value["shape"], &offsets = value["data_offsets"];
    if (!type.is_string()) fail(name, "has a dtype that is no string");
    std::optional<DType> dtype = type_called(type.get_ref<const std::string&>());
    if (!dtype) fail(name, "has type " + type.get<std::string>() + ", which Plumb does not have; convert it to F32 or I64 first");
    if (!shape.is_array()) fail(name, "has a shape that is no list");
    if (shape.size() > kMaxRank) fail(name, "has " + std::to_string(shape.size()) + " dimensions; at most 8 are possible");
    if (!offsets.is_array() || offsets.size() != 2) fail(name, "has data_offsets that are not two numbers");
    Entry entry{name, *dtype, {}, read_size(name, offsets[0], "data offset"), read_size(name, offsets[1], "data offset")};
    size_t bytes = item_size(*dtype);
    int64_t span = static_cast<int64_t>(bytes);  // of the dimensions that are not 0: strides are products of those
    for (const Json& d : shape) {
      size_t size = read_size(name, d, "dimension");
      if (size > static_cast<size_t>(std::numeric_limits<int64_t>::max()) ||
          __builtin_mul_overflow(span, std::max<int64_t>(static_cast<int64_t>(size), 1), &span))
        fail(name, "has a shape larger than any memory: " + shape.dump());
      bytes *= size;
      entry.shape.push_back(static_cast<int64_t>(size));
    }
    if (entry.end < entry.begin) fail(name, "has data_offsets that end before they begin");
    if (entry.end - entry.begin != bytes)
      fail(name, "has " + std::to_string(entry.end - entry.begin) + " bytes, but " + std::string(name_of(*dtype)) + " " +
                     to_string(entry.shape) + " needs " + std::to_string(bytes));
    return entry;
  }

  // The ranges must tile the data exactly.
  void check_ranges(Header& header) const {
    std::vector<Entry>& entries = header.entries;
    std::sort(entries.begin(), entries.end(),
              [](const Entry& a, const Entry& b) { return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name); });
    size_t available = file_.size() - header.data_start, reached = 0;
    for (size_t i = 0; i < entries.size(); ++i) {
      const Entry& e = entries[i];
      if (e.end > available)
        fail(e.name,
             "ends at byte " + std::to_string(e.end) + " of the data, which has " + std::to_string(available) + ": the file is truncated");
      if (e.begin < reached) fail(e.name, "overlaps \"" + entries[i - 1].name + "\"");
      if (e.begin > reached)
        fail(e.name, "begins at byte " + std::to_string(e.begin) + ", leaving a hole after byte " + std::to_string(reached));
      reached = e.end;
    }
    if (reached != available) fail("has " + std::to_string(available - reached) + " bytes after its last tensor");
  }

  std::string_view file_;
  const std::string& path_;
  size_t header_size_ = 0;
  bool has_sum_ = false;
};

using SharedFile = std::shared_ptr<MappedFile>;

Tensor tensor_over(const SharedFile& file, std::byte* data, const Entry& e) {
  if (reinterpret_cast<uintptr_t>(data) % item_size(e.dtype) == 0)
    return from_blob(
        data, e.shape, e.dtype, [](void* context) { delete static_cast<SharedFile*>(context); }, new SharedFile(file));
  Tensor copy = empty(e.shape, e.dtype, cpu, "load_safetensors");  // the format allows unaligned data
  std::memcpy(copy.raw_data(), data, e.end - e.begin);
  return copy;
}

void check_booleans(const std::string& path, const std::byte* data, const Entry& e) {
  for (size_t i = 0; i < e.end - e.begin; ++i)
    if (data[i] > std::byte{1})
      throw_io_error("safetensors", path,
                     "tensor \"" + e.name + "\" is BOOL, but byte " + std::to_string(i) + " is neither 0 nor 1: the file is corrupt");
}

void check_sums(const std::string& path, const std::byte* data, const Header& header) {
  for (size_t i = 0; i < header.entries.size(); ++i) {
    const Entry& e = header.entries[i];
    if (digits(crc32c(data + e.begin, e.end - e.begin)) != header.sums->substr(i * kDigits, kDigits))
      throw_io_error("safetensors", path,
                     "tensor \"" + e.name + "\" does not fit its checksum: the file is damaged, restore it from a copy");
  }
}

using Named = std::pair<const std::string, Tensor>;

std::vector<const Named*> file_order(const StateDict& state) {
  std::vector<const Named*> order;
  for (const Named& item : state) {
    if (!item.second.defined()) throw ValueError("save_safetensors: tensor \"" + item.first + "\" is undefined");
    if (item.first == kMetadata) throw ValueError("save_safetensors: a tensor cannot be called __metadata__");
    order.push_back(&item);
  }
  std::stable_sort(order.begin(), order.end(),
                   [](const Named* a, const Named* b) { return item_size(a->second.dtype()) > item_size(b->second.dtype()); });
  return order;
}

std::string sums_of(const std::vector<const Named*>& order) {
  std::string sums;
  for (const Named* item : order) {
    Tensor bytes = host_rows(item->second);
    sums += digits(crc32c(bytes.raw_data(), byte_size(bytes)));
  }
  return sums;
}

// The length and the header, padded with blanks so that the data begins at a multiple of 64, with every checksum in its place.
std::string header_bytes(const std::vector<const Named*>& order, FileMetadata metadata) {
  metadata[kTensorsSum] = sums_of(order);
  metadata[kHeaderSum] = std::string(kDigits, '0');
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  json[kMetadata] = metadata;
  size_t offset = 0;
  for (const Named* item : order) {
    const Tensor& x = item->second;
    nlohmann::ordered_json entry;
    entry["dtype"] = name_of(x.dtype());
    entry["shape"] = std::vector<int64_t>(x.shape().begin(), x.shape().end());
    entry["data_offsets"] = {offset, offset + byte_size(x)};
    json.get_ref<nlohmann::ordered_json::object_t&>().emplace_back(item->first, std::move(entry));  // names are unique already
    offset += byte_size(x);
  }
  std::string text;
  try {
    text = json.dump();
  } catch (const nlohmann::ordered_json::exception&) {
    throw ValueError("save_safetensors: a name or a metadata string is not valid UTF-8");
  }
  text.append((64 - (8 + text.size()) % 64) % 64, ' ');
  if (text.size() > kLargestHeader) throw ValueError("save_safetensors: the header would exceed the format's limit of 100 MB");
  uint64_t size = text.size();
  std::string bytes(reinterpret_cast<const char*>(&size), 8);
  bytes += text;
  bytes.replace(place_of_header_sum(bytes), kDigits, digits(crc32c(bytes)));
  return bytes;
}

}  // namespace

StateDict load_safetensors(const std::string& path) {
  SharedFile file = std::make_shared<MappedFile>(path);
  Header header = HeaderReader(file->text(), path).read();
  if (header.sums) check_sums(path, file->data() + header.data_start, header);
  StateDict state;
  for (const Entry& e : header.entries) {
    std::byte* data = file->data() + header.data_start + e.begin;
    if (e.dtype == boolean) check_booleans(path, data, e);
    state.emplace(e.name, tensor_over(file, data, e));
  }
  return state;
}

FileMetadata load_safetensors_metadata(const std::string& path) {
  MappedFile file(path);
  return HeaderReader(file.text(), path).read().metadata;
}

void save_safetensors(const std::string& path, const StateDict& state, const FileMetadata& metadata) {
  std::vector<const Named*> order = file_order(state);
  std::string header = header_bytes(order, metadata);
  AtomicFile file(path);
  file.write(header);
  for (const Named* item : order) {
    Tensor bytes = host_rows(item->second);
    file.write(bytes.raw_data(), byte_size(bytes));
  }
  file.commit();
}

}  // namespace plumb
