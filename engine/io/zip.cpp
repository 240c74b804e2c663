// Zip archives: entries are found through the central directory at the end, the only place where sizes are always right.
#include "engine/io/zip.h"

#include <zlib.h>

#include <cstdint>
#include <new>

#include "engine/io/file.h"
#include "engine/io/internal/unpack_limit.h"

namespace plumb {
namespace {

constexpr uint32_t kLocal = 0x04034b50, kCentral = 0x02014b50, kEnd = 0x06054b50;
constexpr size_t kLocalSize = 30, kCentralSize = 46, kEndSize = 22, kLargestComment = 65535;
constexpr uint64_t kLimit = 0xfffffffe;

uint32_t number(std::string_view bytes, size_t at, int size) {
  uint32_t value = 0;
  for (int i = size - 1; i >= 0; --i) value = value << 8 | static_cast<uint8_t>(bytes[at + static_cast<size_t>(i)]);
  return value;
}
void append_number(std::string& bytes, uint64_t value, int size) {
  for (int i = 0; i < size; ++i) bytes += static_cast<char>(value >> 8 * i);
}

class ZipReader {
 public:
  ZipReader(std::string_view archive, const std::string& path, size_t limit) : archive_(archive), path_(path), limit_(limit) {}

  ZipEntries read() {
    if (archive_.empty()) fail("is empty; was its download or copy cut off?");
    if (!archive_.starts_with("PK")) fail("is no zip archive");
    size_t end = find_end();
    uint32_t count = number(archive_, end + 10, 2), at = number(archive_, end + 16, 4);
    if (count == 0xffff || at == 0xffffffff) fail("is a zip64 archive, which is not known");
    ZipEntries entries;
    size_t next = at;
    for (uint32_t i = 0; i < count; ++i) entries.push_back(read_entry(next));
    return entries;
  }

 private:
  [[noreturn]] void fail(const std::string& problem) const { throw_io_error("npz", path_, problem); }

  size_t find_end() const {
    for (size_t back = kEndSize; back <= archive_.size() && back <= kEndSize + kLargestComment; ++back)
      if (size_t at = archive_.size() - back;
          number(archive_, at, 4) == kEnd && at + kEndSize + number(archive_, at + 20, 2) == archive_.size())
        return at;
    fail("is truncated: the zip archive has no directory at its end");
  }

  std::pair<std::string, std::string> read_entry(size_t& next) {
    if (next + kCentralSize > archive_.size() || number(archive_, next, 4) != kCentral) fail("has a corrupt zip directory");
    uint32_t flags = number(archive_, next + 8, 2), method = number(archive_, next + 10, 2), checksum = number(archive_, next + 16, 4);
    size_t packed = number(archive_, next + 20, 4), size = number(archive_, next + 24, 4), name_size = number(archive_, next + 28, 2);
    size_t start = number(archive_, next + 42, 4);
    if (next + kCentralSize + name_size > archive_.size()) fail("has a corrupt zip directory");
    std::string name(archive_.substr(next + kCentralSize, name_size));
    next += kCentralSize + name_size + number(archive_, next + 30, 2) + number(archive_, next + 32, 2);
    std::string entry = "entry \"" + name + "\" ";
    if (flags & 1) fail(entry + "is encrypted");
    if (packed == 0xffffffff || size == 0xffffffff || start == 0xffffffff) fail(entry + "needs zip64 (over 4 GiB), which is not known");
    if (start + kLocalSize > archive_.size() || number(archive_, start, 4) != kLocal) fail(entry + "is not where the zip directory says");
    start += kLocalSize + number(archive_, start + 26, 2) + number(archive_, start + 28, 2);
    if (start > archive_.size() || packed > archive_.size() - start)
      fail(entry + "ends beyond the file: the archive is truncated or corrupt");
    packed_ += packed, unpacked_ += size;
    if (packed_ > archive_.size()) fail(entry + "shares its data with another entry");
    if (unpacked_ > limit_)
      fail("unpacks to more than " + std::to_string(limit_) +
           " bytes, as decompression bombs do; if it is none, unpack it yourself (unzip) and give the files");
    std::string content = unpack(archive_.substr(start, packed), method, size, entry);
    if (crc32_z(0, reinterpret_cast<const Bytef*>(content.data()), content.size()) != checksum)
      fail(entry + "is corrupt: its checksum differs");
    return {std::move(name), std::move(content)};
  }

  std::string unpack(std::string_view packed, uint32_t method, size_t size, const std::string& entry) const {
    if (method == 0 && packed.size() == size) return std::string(packed);
    if (method != 8)
      fail(entry +
           (method == 0 ? "has two sizes" : "is packed by method " + std::to_string(method) + "; only stored and deflated are known"));
    if (size > packed.size() * 1032 + 64) fail(entry + "is corrupt: no deflated data unpacks to " + std::to_string(size) + " bytes");
    std::string content(size, '\0');
    z_stream z = {};
    if (inflateInit2(&z, -MAX_WBITS) != Z_OK) throw std::bad_alloc();
    z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
    z.avail_in = static_cast<uInt>(packed.size());
    Bytef nothing;
    z.next_out = size ? reinterpret_cast<Bytef*>(content.data()) : &nothing;
    z.avail_out = static_cast<uInt>(size);
    int status = inflate(&z, Z_FINISH);
    bool whole = status == Z_STREAM_END && z.avail_out == 0;
    inflateEnd(&z);
    if (!whole) fail(entry + "is corrupt: its deflated data does not unpack to " + std::to_string(size) + " bytes");
    return content;
  }

  std::string_view archive_;
  const std::string& path_;
  size_t limit_, packed_ = 0, unpacked_ = 0;  // bytes of the entries so far
};

std::string deflated(const std::string& content) {
  z_stream z = {};
  if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK) throw std::bad_alloc();
  std::string packed(deflateBound(&z, content.size()), '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data()));
  z.avail_in = static_cast<uInt>(content.size());
  z.next_out = reinterpret_cast<Bytef*>(packed.data());
  z.avail_out = static_cast<uInt>(packed.size());
  deflate(&z, Z_FINISH);
  packed.resize(packed.size() - z.avail_out);
  deflateEnd(&z);
  return packed;
}

// What the local header and the directory have in common. The time stamp is 1980-01-01, the format's zero.
void append_description(std::string& bytes, uint32_t method, uint32_t checksum, size_t packed, size_t size, size_t name_size) {
  append_number(bytes, 20, 2);        // version 2.0
  append_number(bytes, 1u << 11, 2);  // names are UTF-8
  append_number(bytes, method, 2);
  append_number(bytes, 0, 2);
  append_number(bytes, 1u << 5 | 1u, 2);
  append_number(bytes, checksum, 4);
  append_number(bytes, packed, 4);
  append_number(bytes, size, 4);
  append_number(bytes, name_size, 2);
  append_number(bytes, 0, 2);
}

}  // namespace

ZipEntries read_zip(std::string_view archive, const std::string& path, size_t limit) {
  return ZipReader(archive, path, limit ? limit : unpack_limit(archive.size())).read();
}

std::string zip_bytes(const ZipEntries& entries, bool compress, const std::string& path) {
  auto check = [&](bool fits) {
    if (!fits) throw_io_error("npz", path, "an archive over 4 GiB or 65,534 entries would need zip64; use safetensors");
  };
  check(entries.size() < 0xffff);
  std::string archive, directory;
  for (const auto& [name, content] : entries) {
    check(content.size() < kLimit && name.size() < 0xffff);
    uint32_t checksum = static_cast<uint32_t>(crc32_z(0, reinterpret_cast<const Bytef*>(content.data()), content.size()));
    std::string packed = compress ? deflated(content) : content;
    uint32_t method = compress ? 8 : 0;
    append_number(directory, kCentral, 4);
    append_number(directory, 20, 2);
    append_description(directory, method, checksum, packed.size(), content.size(), name.size());
    append_number(directory, 0, 2);  // comment
    append_number(directory, 0, 2);  // disk
    append_number(directory, 0, 2);
    append_number(directory, 0, 4);
    append_number(directory, archive.size(), 4);
    directory += name;
    append_number(archive, kLocal, 4);
    append_description(archive, method, checksum, packed.size(), content.size(), name.size());
    archive += name;
    archive += packed;
    check(archive.size() + directory.size() < kLimit);
  }
  size_t directory_start = archive.size();
  archive += directory;
  append_number(archive, kEnd, 4);
  append_number(archive, 0, 4);
  append_number(archive, entries.size(), 2);
  append_number(archive, entries.size(), 2);
  append_number(archive, directory.size(), 4);
  append_number(archive, directory_start, 4);
  append_number(archive, 0, 2);
  return archive;
}

}  // namespace plumb
