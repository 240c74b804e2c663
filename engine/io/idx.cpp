// IDX files.
#include "engine/io/idx.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "engine/io/file.h"
#include "engine/io/host_rows.h"

namespace plumb {
namespace {

struct Kind {
  uint8_t code;
  size_t bytes;
  DType dtype;
};
constexpr Kind kKinds[] = {{0x08, 1, u8}, {0x09, 1, i32}, {0x0b, 2, i32}, {0x0c, 4, i32}, {0x0d, 4, f32}, {0x0e, 8, f64}};

uint32_t big_endian(std::string_view bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
  return value;
}

// Elements of `size` bytes between big-endian and this machine's order.
void swap_elements(char* data, size_t bytes, size_t size) {
  if (std::endian::native == std::endian::little && size > 1)
    for (size_t at = 0; at < bytes; at += size) std::reverse(data + at, data + at + size);
}

template <typename From>
void widen(const std::string& bytes, size_t at, Tensor& x) {
  int32_t* out = x.data<int32_t>();
  for (int64_t i = 0; i < x.numel(); ++i) {
    From v;
    std::memcpy(&v, bytes.data() + at + static_cast<size_t>(i) * sizeof v, sizeof v);
    out[i] = v;  // NOLINT(bugprone-signed-char-misuse): a signed byte is a number
  }
}

const Kind* kind_of(uint8_t code) {
  auto kind = std::find_if(std::begin(kKinds), std::end(kKinds), [&](const Kind& k) { return k.code == code; });
  return kind == std::end(kKinds) ? nullptr : kind;
}

}  // namespace

IdxHeader read_idx_header(std::string_view content, const std::string& path) {
  auto fail = [&](const std::string& problem) { throw_io_error("idx", path, problem); };
  if (content.size() < 4) fail("is truncated within its header");
  const Kind* kind = kind_of(static_cast<uint8_t>(content[2]));
  size_t rank = static_cast<uint8_t>(content[3]);
  if (content[0] != 0 || content[1] != 0 || !kind) fail("is no IDX file: its first bytes are no IDX type");
  if (rank < 1 || rank > kMaxRank) fail("is no IDX file: it claims " + std::to_string(rank) + " dimensions");
  IdxHeader header{4 + 4 * rank, kind->bytes, {}};
  if (content.size() < header.bytes) fail("is truncated within its header");
  int64_t needed = static_cast<int64_t>(kind->bytes), span = needed;
  for (size_t d = 0; d < rank; ++d) {
    int64_t size = big_endian(content, 4 + 4 * d);
    if (__builtin_mul_overflow(span, std::max<int64_t>(size, 1), &span)) fail("is corrupt: its sizes are beyond any memory");
    needed *= size;
    header.shape.push_back(size);
  }
  int64_t there = static_cast<int64_t>(content.size() - header.bytes);
  if (there != needed)
    fail((there < needed ? "is truncated: " : "has extra bytes: ") + to_string(header.shape) + " needs " + std::to_string(needed) +
         " bytes of elements, the file has " + std::to_string(there));
  return header;
}

Tensor load_idx(const std::string& path) {
  std::string bytes = read_nonempty_file(path);
  IdxHeader header = read_idx_header(bytes, path);
  const Kind* kind = kind_of(static_cast<uint8_t>(bytes[2]));
  swap_elements(bytes.data() + header.bytes, bytes.size() - header.bytes, header.element_bytes);
  Tensor x = empty(header.shape, kind->dtype, cpu, "load_idx");
  if (kind->code == 0x09)
    widen<int8_t>(bytes, header.bytes, x);
  else if (kind->code == 0x0b)
    widen<int16_t>(bytes, header.bytes, x);
  else
    std::memcpy(x.raw_data(), bytes.data() + header.bytes, bytes.size() - header.bytes);
  return x;
}

void save_idx(const std::string& path, const Tensor& x) {
  auto kind = std::find_if(std::begin(kKinds), std::end(kKinds),
                           [&](const Kind& k) { return k.dtype == x.dtype() && k.bytes == item_size(x.dtype()); });
  if (kind == std::end(kKinds))
    throw DTypeError("idx: the format has no " + std::string(name(x.dtype())) + "; convert the tensor to u8, i32, f32 or f64");
  if (x.rank() == 0) throw ShapeError("idx: the format has no rank 0");
  std::string bytes{0, 0, static_cast<char>(kind->code), static_cast<char>(x.rank())};
  for (int64_t size : x.shape()) {
    if (size > 0xffffffff) throw ShapeError("idx: a size in " + to_string(x.shape()) + " is beyond 32 bits");
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(size >> shift);
  }
  Tensor host = host_rows(x);
  size_t start = bytes.size();
  bytes.append(static_cast<const char*>(host.raw_data()), byte_size(x));
  swap_elements(bytes.data() + start, bytes.size() - start, kind->bytes);
  write_data_file(path, bytes);
}

}  // namespace plumb
