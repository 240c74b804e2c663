// NIfTI-1 and NIfTI-2: headers of 348 and 540 bytes with the same fields at other places, then the elements, the first index fastest.
#include "engine/io/nifti.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "engine/io/file.h"
#include "engine/io/host_rows.h"

namespace plumb {
namespace {

static_assert(std::endian::native == std::endian::little, "the reader swaps bytes for little-endian machines");

// Where a version of the format keeps what is read, and in which types.
struct Layout {
  bool second;
  size_t header, dim, datatype, spacing, offset, slope, description, qform, quaternion, origin, sform, rows, magic;
};
constexpr Layout kFirst{false, 348, 40, 70, 76, 108, 112, 148, 252, 256, 268, 254, 280, 344};
constexpr Layout kSecond{true, 540, 16, 12, 104, 168, 176, 240, 344, 352, 376, 348, 400, 4};

// How elements are stored: their type, and how many make a voxel.
enum class Stored : uint8_t { u8, i8, i16, u16, i32, u32, i64, u64, f32, f64 };
struct Kind {
  int code;
  Stored stored;
  int parts;
};
constexpr Kind kKinds[] = {{2, Stored::u8, 1},   {256, Stored::i8, 1},  {4, Stored::i16, 1},    {512, Stored::u16, 1},
                           {8, Stored::i32, 1},  {768, Stored::u32, 1}, {1024, Stored::i64, 1}, {1280, Stored::u64, 1},
                           {16, Stored::f32, 1}, {64, Stored::f64, 1},  {32, Stored::f32, 2},   {1792, Stored::f64, 2},
                           {128, Stored::u8, 3}, {2304, Stored::u8, 4}};

template <typename F>
decltype(auto) visit_stored(Stored s, F&& f) {
  switch (s) {
    case Stored::u8:
      return f.template operator()<uint8_t>();
    case Stored::i8:
      return f.template operator()<int8_t>();
    case Stored::i16:
      return f.template operator()<int16_t>();
    case Stored::u16:
      return f.template operator()<uint16_t>();
    case Stored::i32:
      return f.template operator()<int32_t>();
    case Stored::u32:
      return f.template operator()<uint32_t>();
    case Stored::i64:
      return f.template operator()<int64_t>();
    case Stored::u64:
      return f.template operator()<uint64_t>();
    case Stored::f32:
      return f.template operator()<float>();
    default:
      return f.template operator()<double>();
  }
}

template <typename T>
T number_at(std::string_view bytes, size_t at, bool swapped) {
  char raw[sizeof(T)];
  std::memcpy(raw, bytes.data() + at, sizeof raw);
  if (swapped) std::reverse(raw, raw + sizeof raw);
  T value;
  std::memcpy(&value, raw, sizeof value);
  return value;
}

class Header {
 public:
  Header(std::string_view bytes, const std::string& path) : bytes_(bytes), path_(path) {
    if (bytes.size() < 4) fail("is truncated within its header");
    find_layout();
    if (bytes.size() < layout_->header) fail("is truncated within its header");
    check_magic();
    read_shape();
    int code = integer(layout_->datatype, 2, 2);
    auto kind = std::find_if(std::begin(kKinds), std::end(kKinds), [code](const Kind& k) { return k.code == code; });
    if (kind == std::end(kKinds)) fail("has elements of type " + std::to_string(code) + ", which are not read");
    kind_ = *kind;
  }

  const Shape& shape() const { return shape_; }
  Kind kind() const { return kind_; }
  bool swapped() const { return swapped_; }
  bool pair() const { return pair_; }

  /// Where the elements begin in the file that holds them.
  size_t offset() const {
    double at = layout_->second ? static_cast<double>(number_at<int64_t>(bytes_, layout_->offset, swapped_)) : real(layout_->offset, 0);
    double least = pair_ ? 0 : static_cast<double>(layout_->header);
    if (!(at >= least && at < 0x1p53)) fail("is corrupt: its elements begin at byte " + std::to_string(at));
    return static_cast<size_t>(at);
  }
  /// Slope and intercept; a slope of 0 stands for no scaling.
  std::pair<double, double> scaling() const {
    double slope = real(layout_->slope, 0), intercept = real(layout_->slope, 1);
    if (slope == 0 || !std::isfinite(slope) || !std::isfinite(intercept)) return {1, 0};
    return {slope, intercept};
  }
  double spacing(int dim) const { return real(layout_->spacing, static_cast<size_t>(dim) + 1); }
  std::string description() const {
    std::string_view text = bytes_.substr(layout_->description, 80);
    return std::string(text.substr(0, text.find('\0')));
  }
  Tensor affine() const {
    Tensor a = zeros({4, 4}, f64);
    double* m = a.data<double>();
    m[15] = 1;
    if (integer(layout_->sform, 2, 4) > 0) {
      for (size_t i = 0; i < 12; ++i) m[i] = real(layout_->rows, i);
    } else if (integer(layout_->qform, 2, 4) > 0) {
      fill_from_quaternion(m);
    } else {
      for (int i = 0; i < 3; ++i) m[5 * i] = spacing(i);
    }
    return a;
  }

  [[noreturn]] void fail(const std::string& problem) const { throw_io_error("nifti", path_, problem); }

 private:
  // The header's own size comes first, in the file's byte order.
  void find_layout() {
    for (const Layout* l : {&kFirst, &kSecond})
      for (bool swapped : {false, true})
        if (number_at<int32_t>(bytes_, 0, swapped) == static_cast<int32_t>(l->header)) {
          layout_ = l;
          swapped_ = swapped;
          return;
        }
    fail("is no NIfTI image: it does not begin with the size of a header, 348 or 540");
  }

  void check_magic() {
    std::string_view magic = bytes_.substr(layout_->magic, 4);
    const char* single = layout_->second ? "n+2" : "n+1";
    const char* apart = layout_->second ? "ni2" : "ni1";
    pair_ = magic == std::string_view(apart, 4);
    if (!pair_ && magic != std::string_view(single, 4)) fail("is no NIfTI image: its header does not end in its magic number");
  }

  void read_shape() {
    int64_t rank = size(0);
    if (rank < 1 || rank > 7) fail("is corrupt: it claims " + std::to_string(rank) + " dimensions");
    for (int64_t d = 1; d <= rank; ++d) {
      int64_t n = size(static_cast<size_t>(d));
      if (n < 1) fail("is corrupt: dimension " + std::to_string(d) + " has size " + std::to_string(n));
      shape_.push_back(n);
    }
  }

  // Method 2 of the standard: a rotation by the unit quaternion (a, b, c, d), columns scaled by the spacing, the third also by qfac = ±1.
  void fill_from_quaternion(double* m) const {
    double b = real(layout_->quaternion, 0), c = real(layout_->quaternion, 1), d = real(layout_->quaternion, 2);
    double a = std::sqrt(std::max(0.0, 1 - b * b - c * c - d * d));
    double sx = spacing(0), sy = spacing(1), sz = spacing(2) * (real(layout_->spacing, 0) < 0 ? -1 : 1);
    const double rotation[3][3] = {{a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)},
                                   {2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)},
                                   {2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c}};
    for (size_t i = 0; i < 3; ++i) {
      m[4 * i] = rotation[i][0] * sx;
      m[4 * i + 1] = rotation[i][1] * sy;
      m[4 * i + 2] = rotation[i][2] * sz;
      m[4 * i + 3] = real(layout_->origin, i);
    }
  }

  int64_t size(size_t i) const {
    return layout_->second ? number_at<int64_t>(bytes_, layout_->dim + 8 * i, swapped_)
                           : number_at<int16_t>(bytes_, layout_->dim + 2 * i, swapped_);
  }
  // An integer of so many bytes in the first and in the second version.
  int integer(size_t at, int first, int second) const {
    return (layout_->second ? second : first) == 2 ? number_at<int16_t>(bytes_, at, swapped_) : number_at<int32_t>(bytes_, at, swapped_);
  }
  double real(size_t at, size_t i) const {
    return layout_->second ? number_at<double>(bytes_, at + 8 * i, swapped_)
                           : static_cast<double>(number_at<float>(bytes_, at + 4 * i, swapped_));
  }

  std::string_view bytes_;
  const std::string& path_;
  const Layout* layout_ = nullptr;
  bool swapped_ = false, pair_ = false;
  Shape shape_;
  Kind kind_{};
};

size_t bytes_of(Stored s) {
  return visit_stored(s, []<typename T>() { return sizeof(T); });
}

// The tensor of the first index fastest as one of the last index fastest; the parts of a voxel stay together.
Tensor row_major(const Tensor& stored, int parts) {
  Shape shape;
  Strides strides;
  int64_t stride = parts;
  for (int d = stored.rank() - 1 - (parts > 1); d >= 0; --d) {
    shape.push_back(stored.shape()[d]);
    strides.push_back(stride);
    stride *= stored.shape()[d];
  }
  if (parts > 1) {
    shape.push_back(parts);
    strides.push_back(1);
  }
  return contiguous_data(view_of(stored, shape, strides, 0));
}

Tensor read_values(const Header& h, std::string_view bytes, const std::string& path) {
  double slope = h.scaling().first, intercept = h.scaling().second;
  Kind kind = h.kind();
  size_t size = bytes_of(kind.stored);
  auto needed = static_cast<int64_t>(size) * kind.parts;
  for (int64_t n : h.shape())
    if (__builtin_mul_overflow(needed, n, &needed)) h.fail("is corrupt: its sizes are beyond any memory");
  if (bytes.size() < h.offset() || static_cast<int64_t>(bytes.size() - h.offset()) < needed)
    throw_io_error("nifti", path,
                   "is truncated: " + to_string(h.shape()) + " needs " + std::to_string(needed) + " bytes of elements from byte " +
                       std::to_string(h.offset()) + ", the file ends at " + std::to_string(bytes.size()));
  Shape reversed;
  for (int d = h.shape().rank() - 1; d >= 0; --d) reversed.push_back(h.shape()[d]);
  if (kind.parts > 1) reversed.push_back(kind.parts);
  bool wide = kind.stored == Stored::f64 || (size >= 4 && kind.stored != Stored::f32);
  Tensor x = empty(reversed, wide ? f64 : f32, cpu, "load_nifti");
  visit_f32_f64("load_nifti", x.dtype(), [&]<typename To>() {
    visit_stored(kind.stored, [&]<typename From>() {
      To* out = x.data<To>();
      for (int64_t i = 0; i < x.numel(); ++i) {
        auto v = static_cast<double>(number_at<From>(bytes, h.offset() + static_cast<size_t>(i) * sizeof(From), h.swapped()));
        out[i] = static_cast<To>(slope * v + intercept);
      }
    });
  });
  return row_major(x, kind.parts);
}

NiftiImage image_of(const Header& h, std::string_view elements, const std::string& path) {
  NiftiImage image{read_values(h, elements, path), h.affine(), {}, h.description()};
  for (int d = 0; d < h.shape().rank(); ++d) image.spacing.push_back(h.spacing(d));
  return image;
}

// "a/b.hdr.gz" with another extension before an ending ".gz", or without it.
std::string partner(const std::string& path, const char* extension) {
  std::string stem = path.ends_with(".gz") ? path.substr(0, path.size() - 3) : path;
  stem = stem.substr(0, stem.rfind('.')) + extension;
  return path_exists(stem) ? stem : stem + ".gz";
}

bool has_extension(const std::string& path, const std::string& extension) {
  return path.ends_with(extension) || path.ends_with(extension + ".gz");
}

template <typename T>
void put(std::string& bytes, size_t at, T value) {
  std::memcpy(bytes.data() + at, &value, sizeof value);
}

}  // namespace

NiftiImage parse_nifti(std::string_view bytes, const std::string& path) {
  Header header(bytes, path);
  if (header.pair()) header.fail("is the header of a pair; load it by its name, beside its .img");
  return image_of(header, bytes, path);
}

NiftiImage load_nifti(const std::string& path) {
  if (has_extension(path, ".img")) return load_nifti(partner(path, ".hdr"));
  std::string bytes = read_nonempty_file(path);
  Header header(bytes, path);
  if (!header.pair()) return image_of(header, bytes, path);
  std::string other = partner(path, ".img");
  return image_of(header, read_nonempty_file(other), other);
}

void save_nifti(const std::string& path, const NiftiImage& image) {
  const Tensor& x = image.values;
  constexpr std::pair<DType, int16_t> codes[] = {{u8, 2}, {i32, 8}, {i64, 1024}, {f32, 16}, {f64, 64}};
  auto code = std::find_if(std::begin(codes), std::end(codes), [&](const auto& c) { return c.first == x.dtype(); });
  if (code == std::end(codes))
    throw DTypeError("nifti: the format has no " + std::string(name(x.dtype())) + "; convert the tensor to u8, i32, i64, f32 or f64");
  if (x.rank() < 1 || x.rank() > 7) throw ShapeError("nifti: images have one to seven dimensions, not " + to_string(x.shape()));
  if (!image.spacing.empty() && image.spacing.size() != static_cast<size_t>(x.rank()))
    throw ShapeError("nifti: the spacing has " + std::to_string(image.spacing.size()) + " numbers, the image is " + to_string(x.shape()));
  for (int64_t n : x.shape())
    if (n < 1 || n > 32767) throw ShapeError("nifti: a size in " + to_string(x.shape()) + " is outside [1, 32767]");
  if (image.affine.defined() && image.affine.shape() != Shape{4, 4})
    throw ShapeError("nifti: the affine is " + to_string(image.affine.shape()) + ", not [4, 4]");
  auto spacing = [&](int d) { return image.spacing.empty() ? 1.0 : image.spacing[static_cast<size_t>(d)]; };
  std::string bytes(352, '\0');
  put<int32_t>(bytes, 0, 348);
  put<int16_t>(bytes, kFirst.dim, static_cast<int16_t>(x.rank()));
  put<float>(bytes, kFirst.spacing, 1);
  for (int d = 0; d < 7; ++d) {
    auto i = static_cast<size_t>(d) + 1;
    put<int16_t>(bytes, kFirst.dim + 2 * i, static_cast<int16_t>(d < x.rank() ? x.shape()[d] : 1));
    put<float>(bytes, kFirst.spacing + 4 * i, static_cast<float>(d < x.rank() ? spacing(d) : 1));
  }
  put<int16_t>(bytes, kFirst.datatype, code->second);
  put<int16_t>(bytes, kFirst.datatype + 2, static_cast<int16_t>(8 * item_size(x.dtype())));
  put<float>(bytes, kFirst.offset, 352);
  put<float>(bytes, kFirst.slope, 1);
  bytes.replace(kFirst.description, std::min<size_t>(79, image.description.size()), image.description.substr(0, 79));
  put<int16_t>(bytes, kFirst.sform, 1);
  std::vector<double> affine = image.affine.defined() ? to_vector(image.affine) : std::vector<double>(16);
  if (!image.affine.defined())
    for (int d = 0; d < 3; ++d) affine[5 * static_cast<size_t>(d)] = d < x.rank() ? spacing(d) : 1;
  for (size_t i = 0; i < 12; ++i) put<float>(bytes, kFirst.rows + 4 * i, static_cast<float>(affine[i]));
  bytes.replace(kFirst.magic, 4, std::string("n+1\0", 4));
  Shape reversed;
  Strides strides;
  for (int d = x.rank() - 1; d >= 0; --d) {
    reversed.push_back(x.shape()[d]);
    strides.push_back(x.strides()[d]);
  }
  Tensor elements = host_rows(view_of(x, reversed, strides, 0));
  bytes.append(static_cast<const char*>(elements.raw_data()), byte_size(elements));
  write_data_file(path, bytes);
}

}  // namespace plumb
