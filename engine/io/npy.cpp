// .npy: a magic number, a Python dictionary of type, order and shape, then the elements.
#include "engine/io/npy.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "engine/io/file.h"
#include "engine/io/host_rows.h"

namespace plumb {
namespace {

constexpr std::string_view kMagic{"\x93NUMPY", 6};

struct Header {
  char kind = 0;  // 'f' floating, 'i' signed, 'u' unsigned, 'b' bool
  size_t item = 0;
  bool big_endian = false, fortran = false;
  Shape shape;
  size_t data_start = 0;
};

// Reads {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }; every complaint names the file.
class HeaderReader {
 public:
  HeaderReader(std::string_view bytes, const std::string& path) : bytes_(bytes), path_(path) {}

  Header read() {
    std::string_view rest = dictionary();
    expect(rest, '{');
    while (skip_blanks(rest), !rest.empty() && rest[0] != '}') {
      std::string_view key = quoted(rest);
      expect(rest, ':');
      if (key == "descr")
        read_type(rest);
      else if (key == "fortran_order")
        read_order(rest);
      else if (key == "shape")
        read_shape(rest);
      else
        fail("its header has the unknown key '" + std::string(key) + "'");
      skip_blanks(rest);
      if (!rest.empty() && rest[0] == ',') rest.remove_prefix(1);
    }
    expect(rest, '}');
    if (!has_type_ || !has_order_ || !has_shape_) fail("its header lacks descr, fortran_order or shape");
    check_size();
    return header_;
  }

 private:
  [[noreturn]] void fail(const std::string& problem) const { throw_io_error("npy", path_, problem); }

  std::string_view dictionary() {
    if (bytes_.empty()) fail("is empty; was its download or copy cut off?");
    if (!bytes_.starts_with(kMagic)) fail(kMagic.starts_with(bytes_) ? "is truncated within its header" : "is no .npy file");
    if (bytes_.size() < 10) fail("is truncated within its header");
    int version = static_cast<unsigned char>(bytes_[6]);
    if (version < 1 || version > 3) fail("has format version " + std::to_string(version) + "; 1 to 3 are known");
    size_t prefix = version == 1 ? 10 : 12, length = 0;
    if (bytes_.size() < prefix) fail("is truncated within its header");
    for (size_t i = prefix; i-- > 8;) length = length << 8 | static_cast<uint8_t>(bytes_[i]);
    if (bytes_.size() - prefix < length) fail("is truncated within its header");
    header_.data_start = prefix + length;
    return bytes_.substr(prefix, length);
  }

  static void skip_blanks(std::string_view& rest) {
    while (!rest.empty() && (rest[0] == ' ' || rest[0] == '\n')) rest.remove_prefix(1);
  }
  void expect(std::string_view& rest, char wanted) const {
    skip_blanks(rest);
    if (rest.empty() || rest[0] != wanted) fail(std::string("its header is corrupt: expected ") + wanted);
    rest.remove_prefix(1);
  }
  std::string_view quoted(std::string_view& rest) const {
    skip_blanks(rest);
    char quote = rest.empty() ? 0 : rest[0];
    if (quote == '[') fail("is a structured array, which is not known");
    size_t end = quote == '\'' || quote == '"' ? rest.find(quote, 1) : std::string_view::npos;
    if (end == std::string_view::npos) fail("its header is corrupt: expected a quoted word");
    std::string_view word = rest.substr(1, end - 1);
    rest.remove_prefix(end + 1);
    return word;
  }

  void read_type(std::string_view& rest) {
    std::string_view descr = quoted(rest);
    constexpr std::string_view known[] = {"f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "b1"};
    bool ordered = !descr.empty() && std::string_view("<>|=").find(descr[0]) != std::string_view::npos;
    std::string_view type = descr.substr(ordered);
    if (std::find(std::begin(known), std::end(known), type) == std::end(known))
      fail("has elements of type '" + std::string(descr) + "', which are not known; convert them to float32 or int64 first");
    header_.kind = type[0];
    header_.item = static_cast<size_t>(type[1] - '0');
    header_.big_endian = descr[0] == '>';
    has_type_ = true;
  }

  void read_order(std::string_view& rest) {
    skip_blanks(rest);
    header_.fortran = rest.starts_with("True");
    if (!header_.fortran && !rest.starts_with("False")) fail("its header is corrupt: fortran_order is neither True nor False");
    rest.remove_prefix(header_.fortran ? 4 : 5);
    has_order_ = true;
  }

  void read_shape(std::string_view& rest) {
    expect(rest, '(');
    header_.shape = {};
    while (skip_blanks(rest), !rest.empty() && rest[0] != ')') {
      int64_t size = 0;
      size_t digits = 0;
      for (; digits < rest.size() && rest[digits] >= '0' && rest[digits] <= '9'; ++digits)
        if (__builtin_mul_overflow(size, 10, &size) || __builtin_add_overflow(size, rest[digits] - '0', &size))
          fail("has a size beyond any memory");
      if (digits == 0) fail("its header is corrupt: the shape is no list of sizes");
      if (header_.shape.rank() == kMaxRank) fail("has more than 8 dimensions");
      header_.shape.push_back(size);
      rest.remove_prefix(digits);
      skip_blanks(rest);
      if (!rest.empty() && rest[0] == ',') rest.remove_prefix(1);
    }
    expect(rest, ')');
    has_shape_ = true;
  }

  void check_size() const {
    int64_t span = static_cast<int64_t>(header_.item);
    for (int64_t size : header_.shape)
      if (__builtin_mul_overflow(span, std::max<int64_t>(size, 1), &span))
        fail("has a size beyond any memory: " + to_string(header_.shape));
    size_t needed = static_cast<size_t>(numel(header_.shape)) * header_.item, there = bytes_.size() - header_.data_start;
    if (there != needed)
      fail((there < needed ? "is truncated: " : "has extra bytes: ") + to_string(header_.shape) + " needs " + std::to_string(needed) +
           " bytes of elements, the file has " + std::to_string(there));
  }

  std::string_view bytes_;
  const std::string& path_;
  Header header_;
  bool has_type_ = false, has_order_ = false, has_shape_ = false;
};

// The elements in the file's type, native byte order, row-major.
std::string elements(std::string_view data, const Header& h) {
  std::string out(data);
  if (h.fortran && h.shape.rank() > 1) {
    // `in` walks the row-major order through the column-major file: dimension d steps by the product of the sizes before it.
    Strides steps = h.shape;
    size_t step = h.item, in = 0;
    for (int d = 0; d < h.shape.rank(); ++d) {
      steps[d] = static_cast<int64_t>(step);
      step *= static_cast<size_t>(h.shape[d]);
    }
    Shape index = Shape::filled(h.shape.rank(), 0);
    for (size_t at = 0; at < out.size(); at += h.item) {
      std::memcpy(out.data() + at, data.data() + in, h.item);
      for (int d = h.shape.rank() - 1; d >= 0; --d) {
        in += static_cast<size_t>(steps[d]);
        if (++index[d] < h.shape[d]) break;
        in -= static_cast<size_t>(steps[d] * h.shape[d]);
        index[d] = 0;
      }
    }
  }
  if (h.big_endian && h.item > 1)
    for (size_t at = 0; at < out.size(); at += h.item)
      std::reverse(out.begin() + static_cast<int64_t>(at), out.begin() + static_cast<int64_t>(at + h.item));
  return out;
}

DType same_type(const Header& h) {
  if (h.kind == 'f') return h.item == 8 ? f64 : h.item == 4 ? f32 : f16;
  if (h.kind == 'b') return boolean;
  if (h.kind == 'u' && h.item == 1) return u8;
  return h.item == 8 || (h.kind == 'u' && h.item == 4) ? i64 : i32;
}

template <typename From, typename To>
void convert(const std::string& bytes, Tensor& x) {
  To* out = x.data<To>();
  for (int64_t i = 0; i < x.numel(); ++i) {
    From v;
    std::memcpy(&v, bytes.data() + static_cast<size_t>(i) * sizeof v, sizeof v);
    out[i] = static_cast<To>(v);  // NOLINT(bugprone-signed-char-misuse): an i1 is a number
  }
}

void check_values(const std::string& bytes, const Header& h, const std::string& path) {
  if (h.kind == 'b')
    for (char b : bytes)
      if (static_cast<uint8_t>(b) > 1)
        throw_io_error("npy", path, "is a bool array with a byte that is neither 0 nor 1: the file is corrupt");
  if (h.kind == 'u' && h.item == 8)
    for (size_t at = 7; at < bytes.size(); at += 8)
      if (static_cast<uint8_t>(bytes[at]) > 127)
        throw_io_error("npy", path, "has uint64 elements beyond i64; convert them to float64 first");
}

const char* descr_of(DType type) {
  switch (type) {
    case DType::f64:
      return "<f8";
    case DType::f32:
      return "<f4";
    case DType::f16:
      return "<f2";
    case DType::i64:
      return "<i8";
    case DType::i32:
      return "<i4";
    case DType::u8:
      return "|u1";
    case DType::boolean:
      return "|b1";
    default:
      throw DTypeError("npy: NumPy has no " + std::string(name(type)) + "; convert the tensor to f32 first");
  }
}

}  // namespace

Tensor parse_npy(std::string_view bytes, const std::string& path) {
  Header h = HeaderReader(bytes, path).read();
  std::string data = elements(bytes.substr(h.data_start), h);
  check_values(data, h, path);
  Tensor x = empty(h.shape, same_type(h), cpu, "load_npy");
  if (h.kind == 'i' && h.item == 1)
    convert<int8_t, int32_t>(data, x);
  else if (h.kind == 'i' && h.item == 2)
    convert<int16_t, int32_t>(data, x);
  else if (h.kind == 'u' && h.item == 2)
    convert<uint16_t, int32_t>(data, x);
  else if (h.kind == 'u' && h.item == 4)
    convert<uint32_t, int64_t>(data, x);
  else if (!data.empty())
    std::memcpy(x.raw_data(), data.data(), data.size());
  return x;
}

Tensor load_npy(const std::string& path) { return parse_npy(read_nonempty_file(path), path); }

std::string npy_bytes(const Tensor& x) {
  std::string shape;
  for (int64_t size : x.shape()) shape += std::to_string(size) + ", ";
  if (x.rank() > 1) shape.resize(shape.size() - 2);
  if (x.rank() == 1) shape.resize(shape.size() - 1);
  std::string header = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}", descr_of(x.dtype()), shape);
  header.append(63 - (10 + header.size()) % 64, ' ');  // the elements begin at a multiple of 64
  header += '\n';
  std::string bytes(kMagic);
  bytes += {'\x01', '\x00', static_cast<char>(header.size() & 0xff), static_cast<char>(header.size() >> 8)};
  bytes += header;
  Tensor host = host_rows(x);
  return bytes.append(static_cast<const char*>(host.raw_data()), byte_size(x));
}

void save_npy(const std::string& path, const Tensor& x) { write_data_file(path, npy_bytes(x)); }

}  // namespace plumb
