// NIfTI: both versions, both byte orders, all types, space, pairs, broken files.
#include "engine/io/nifti.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "tests/engine/io/damage.h"
#include "tests/engine/io/vectors.h"

using namespace plumb;
using plumb_test::io_error;
using plumb_test::Scratch;
using plumb_test::values_of;

namespace {

// A header written field by field, in either byte order.
class Writer {
 public:
  Writer(bool second, bool big) : second_(second), big_(big), bytes_(second ? 544 : 352, '\0') {
    at<int32_t>(0, second ? 540 : 348);
    text(second ? 4 : 344, second ? std::string("n+2\0", 4) : std::string("n+1\0", 4));
    if (second)
      at<int64_t>(168, 544);
    else
      at<float>(108, 352);
  }
  template <typename T>
  Writer& at(size_t place, T value) {
    char raw[sizeof(T)];
    std::memcpy(raw, &value, sizeof raw);
    if (big_) std::reverse(raw, raw + sizeof raw);
    bytes_.replace(place, sizeof raw, raw, sizeof raw);
    return *this;
  }
  Writer& text(size_t place, const std::string& value) {
    bytes_.replace(place, value.size(), value);
    return *this;
  }
  Writer& shape(const std::vector<int>& sizes) {
    size(0, static_cast<int>(sizes.size()));
    for (size_t d = 0; d < sizes.size(); ++d) {
      size(d + 1, sizes[d]);
      real(second_ ? 104 : 76, d + 1, 0.5 * static_cast<double>(d + 1));
    }
    return *this;
  }
  Writer& type(int code) { return at<int16_t>(second_ ? 12 : 70, static_cast<int16_t>(code)); }
  Writer& real(size_t place, size_t i, double value) {
    return second_ ? at<double>(place + 8 * i, value) : at<float>(place + 4 * i, static_cast<float>(value));
  }
  template <typename T>
  Writer& elements(const std::vector<T>& values) {
    for (T v : values) {
      size_t place = bytes_.size();
      bytes_.append(sizeof v, '\0');
      at<T>(place, v);
    }
    return *this;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  void size(size_t i, int n) {
    if (second_)
      at<int64_t>(16 + 8 * i, n);
    else
      at<int16_t>(40 + 2 * i, static_cast<int16_t>(n));
  }
  bool second_, big_;
  std::string bytes_;
};

std::string message(const std::string& bytes) {
  std::string text = io_error([&] { parse_nifti(bytes, "a.nii"); });
  return text.starts_with("nifti: a.nii: ") ? text.substr(14) : text;
}

}  // namespace

TEST_CASE("nifti: both versions in both byte orders, the first index fastest in the file") {
  for (bool second : {false, true})
    for (bool big : {false, true}) {
      Writer w(second, big);
      w.shape({2, 3}).type(4).real(second ? 176 : 112, 0, 2).real(second ? 176 : 112, 1, -1).text(second ? 240 : 148, "a phantom");
      w.elements<int16_t>({0, 1, 10, 11, 20, -21});
      NiftiImage image = parse_nifti(w.bytes(), "a.nii");
      CHECK(image.values.shape() == Shape{2, 3});
      CHECK(image.values.dtype() == f32);
      CHECK(values_of(image.values) == std::vector<double>{-1, 19, 39, 1, 21, -43});  // 2 v − 1, row by row
      CHECK(image.spacing == std::vector<double>{0.5, 1});
      CHECK(image.description == "a phantom");
      CHECK(values_of(image.affine)[0] == 0.5);
      CHECK(values_of(image.affine)[5] == 1);
    }
}

TEST_CASE("nifti: every type, and voxels of several parts") {
  auto read = [](int code, auto values, std::vector<int> shape = {3}) {
    Writer w(false, true);
    return parse_nifti(w.shape(shape).type(code).elements(values).bytes(), "a").values;
  };
  CHECK(values_of(read(2, std::vector<uint8_t>{0, 7, 255})) == std::vector<double>{0, 7, 255});
  CHECK(values_of(read(256, std::vector<int8_t>{-128, 0, 127})) == std::vector<double>{-128, 0, 127});
  CHECK(values_of(read(512, std::vector<uint16_t>{0, 1, 65535})) == std::vector<double>{0, 1, 65535});
  Tensor wide = read(8, std::vector<int32_t>{-2147483647, 0, 16777217});
  CHECK(wide.dtype() == f64);
  CHECK(values_of(wide) == std::vector<double>{-2147483647, 0, 16777217});
  CHECK(values_of(read(768, std::vector<uint32_t>{4294967295u, 0, 1})) == std::vector<double>{4294967295.0, 0, 1});
  CHECK(values_of(read(1024, std::vector<int64_t>{-5, 0, 1})) == std::vector<double>{-5, 0, 1});
  CHECK(values_of(read(1280, std::vector<uint64_t>{5, 0, 1})) == std::vector<double>{5, 0, 1});
  CHECK(values_of(read(16, std::vector<float>{0.5f, -2, 3})) == std::vector<double>{0.5, -2, 3});
  CHECK(values_of(read(64, std::vector<double>{0.1, -2, 3})) == std::vector<double>{0.1, -2, 3});
  Tensor complex = read(32, std::vector<float>{1, 2, 3, 4, 5, 6, 7, 8}, {2, 2});
  CHECK(complex.shape() == Shape{2, 2, 2});
  CHECK(values_of(complex) == std::vector<double>{1, 2, 5, 6, 3, 4, 7, 8});
  CHECK(read(128, std::vector<uint8_t>{1, 2, 3, 4, 5, 6}, {2}).shape() == Shape{2, 3});
}

TEST_CASE("nifti: voxels to millimetres by sform, by qform, by the spacing") {
  Writer w(false, false);
  w.shape({1, 1, 1}).type(2).elements<uint8_t>({9});
  CHECK(values_of(parse_nifti(w.bytes(), "a").affine) == std::vector<double>{0.5, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1.5, 0, 0, 0, 0, 1});
  // A quarter turn about z, b = c = 0, d = √½, the third axis turned around by qfac.
  w.at<int16_t>(252, 1).real(76, 0, -1).real(256, 2, std::sqrt(0.5)).real(268, 0, 7).real(268, 1, 8).real(268, 2, 9);
  std::vector<double> q = values_of(parse_nifti(w.bytes(), "a").affine), expected{0, -1, 0, 7, 0.5, 0, 0, 8, 0, 0, -1.5, 9, 0, 0, 0, 1};
  for (size_t i = 0; i < 16; ++i) CHECK(q[i] == doctest::Approx(expected[i]).epsilon(1e-6));
  w.at<int16_t>(254, 1);
  for (size_t i = 0; i < 12; ++i) w.real(280, i, static_cast<double>(i));
  CHECK(values_of(parse_nifti(w.bytes(), "a").affine) == std::vector<double>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0, 0, 0, 1});
}

TEST_CASE("nifti: round trips, plain and gzipped, and pairs of files") {
  Scratch scratch;
  Tensor x = empty({2, 3, 4}, f32);
  for (int64_t i = 0; i < 24; ++i) x.data<float>()[i] = static_cast<float>(i) * 0.5f;
  NiftiImage image{x, {}, {1.5, 2, 2.5}, "made up"};
  for (const char* name : {"a.nii", "a.nii.gz"}) {
    save_nifti(scratch.path(name), image);
    NiftiImage back = load_nifti(scratch.path(name));
    CHECK(back.values.shape() == Shape{2, 3, 4});
    CHECK(values_of(back.values) == values_of(x));
    CHECK(back.spacing == image.spacing);
    CHECK(back.description == "made up");
    CHECK(values_of(back.affine)[10] == 2.5);
  }
  CHECK(scratch.get("a.nii.gz").starts_with("\x1f\x8b"));
  std::string single = scratch.get("a.nii"), header = single.substr(0, 348);
  header.replace(344, 4, std::string("ni1\0", 4));
  float offset = 0;
  header.replace(108, 4, reinterpret_cast<const char*>(&offset), 4);
  scratch.put("b.hdr", header);
  scratch.put("b.img", single.substr(352));
  CHECK(values_of(load_nifti(scratch.path("b.hdr")).values) == values_of(x));
  CHECK(values_of(load_nifti(scratch.path("b.img")).values) == values_of(x));
  CHECK_THROWS_WITH_AS(save_nifti(scratch.path("c"), {zeros({2}, f16), {}, {}, ""}),
                       "nifti: the format has no f16; convert the tensor to u8, i32, i64, f32 or f64", DTypeError);
  CHECK_THROWS_WITH_AS(save_nifti(scratch.path("c"), {zeros({2, 2}), {}, {1.0}, ""}),
                       "nifti: the spacing has 1 numbers, the image is [2, 2]", ShapeError);
  CHECK_THROWS_AS(save_nifti(scratch.path("c"), {zeros({40000}), {}, {}, ""}), ShapeError);
}

TEST_CASE("nifti: broken files are refused with the reason") {
  Writer w(false, false);
  w.shape({2, 2}).type(16).elements<float>({1, 2, 3, 4});
  CHECK(message("abc") == "is truncated within its header");
  CHECK(message(std::string(400, 'x')) == "is no NIfTI image: it does not begin with the size of a header, 348 or 540");
  CHECK(message(w.bytes().substr(0, 200)) == "is truncated within its header");
  CHECK(message(w.bytes().substr(0, 360)) == "is truncated: [2, 2] needs 16 bytes of elements from byte 352, the file ends at 360");
  Writer magic = w, rank = w, size = w, type = w, offset = w;
  CHECK(message(magic.text(344, "xx").bytes()) == "is no NIfTI image: its header does not end in its magic number");
  CHECK(message(rank.at<int16_t>(40, 9).bytes()) == "is corrupt: it claims 9 dimensions");
  CHECK(message(size.at<int16_t>(44, -3).bytes()) == "is corrupt: dimension 2 has size -3");
  CHECK(message(type.type(1536).bytes()) == "has elements of type 1536, which are not read");
  CHECK(message(offset.at<float>(108, 3).bytes()).starts_with("is corrupt: its elements begin at byte 3"));
  Scratch scratch;
  CHECK(plumb_test::refused_when_damaged(scratch, w.bytes(), [](const std::string& p) { load_nifti(p); }) > 30);
}

TEST_CASE("nifti: published files are read") {
  const char* data = std::getenv("PLUMB_DATA");
  if (!data) {
    MESSAGE("skipped: PLUMB_DATA names no directory of data sets");
    return;
  }
  NiftiImage head = load_nifti(std::string(data) + "/mri/someones_anatomy.nii.gz");
  CHECK(head.values.shape() == Shape{57, 67, 56});
  CHECK(head.spacing == std::vector<double>{2.75, 2.75, 2.75});
  CHECK(values_of(head.affine)[3] == -78);
  double voxel = head.values.data<float>()[(20 * 67 + 30) * 56 + 10];
  CHECK(voxel == doctest::Approx(0.35245904326438904 * 59 + 6.678363800048828).epsilon(1e-6));
  NiftiImage film = load_nifti(std::string(data) + "/mri/example4d.nii.gz");
  CHECK(film.values.shape() == Shape{128, 96, 24, 2});
  CHECK(film.spacing[3] == 2000);
}
