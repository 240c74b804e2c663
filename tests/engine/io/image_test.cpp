// PNG and JPEG against values stored from the reference library, round trips, and damage.
#include "engine/io/image.h"

#include <cmath>

#include "tests/engine/io/damage.h"
#include "tests/engine/io/vectors.h"

using namespace plumb;
using plumb_test::from_hex;
using plumb_test::io_error;
using plumb_test::Scratch;
using plumb_test::values_of;

namespace {

const nlohmann::json& vectors() {
  static const nlohmann::json json = plumb_test::reference("file_vectors.json");  // by tests/reference/file_vectors.py
  return json;
}
std::string file_called(const std::string& name) {
  for (const auto& item : vectors()["images"])
    if (item["name"] == name) return from_hex(item["file"]);
  return "";
}

Tensor waves(int64_t height, int64_t width, int64_t channels) {
  Tensor x = empty({height, width, channels}, u8);
  for (int64_t i = 0; i < x.numel(); ++i) x.data<uint8_t>()[i] = static_cast<uint8_t>(128 + 100 * std::sin(0.01 * static_cast<double>(i)));
  return x;
}

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  double largest = a.size() == b.size() ? 0 : 256;
  for (size_t i = 0; i < a.size() && i < b.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

}  // namespace

TEST_CASE("images: PNG of every kind is read exactly, JPEG as the reference library reads it") {
  REQUIRE(vectors()["images"].size() > 12);
  for (const auto& item : vectors()["images"]) {
    std::string name = item["name"];
    CAPTURE(name);
    Tensor x = decode_image(from_hex(item["file"]), "a");
    CHECK(x.dtype() == u8);
    CHECK(x.shape() == plumb_test::shape_of(item["shape"]));
    // Versions of the JPEG library may round the inverse transform and the colours differently by one level each.
    CHECK(largest_difference(values_of(x), values_of(item["values"])) <= (name.starts_with("jpeg") ? 2 : 0));
  }
}

TEST_CASE("images: PNG round trips exactly, JPEG closely") {
  Scratch scratch;
  for (int64_t channels : {1, 2, 3, 4}) {
    Tensor x = waves(7, 13, channels);
    save_png(scratch.path("a"), x);
    Tensor y = load_image(scratch.path("a"));
    CHECK(y.shape() == x.shape());
    CHECK(values_of(y) == values_of(x));
  }
  for (int64_t channels : {1, 3}) {
    Tensor x = waves(24, 40, channels);
    save_jpeg(scratch.path("a"), x, 100);
    Tensor y = load_image(scratch.path("a"));
    CHECK(y.shape() == x.shape());
    if (channels == 1) CHECK(largest_difference(values_of(y), values_of(x)) <= 2);
  }
  save_png(scratch.path("flat"), zeros({3, 4}, u8));
  CHECK(load_image(scratch.path("flat")).shape() == Shape{3, 4, 1});
  CHECK(encode_jpeg(waves(24, 40, 1), 30).size() < encode_jpeg(waves(24, 40, 1), 95).size());
}

TEST_CASE("images: tensors that are no image are refused") {
  CHECK_THROWS_WITH_AS(encode_png(zeros({3, 4})), "png: an image must be u8, this tensor is f32", DTypeError);
  CHECK_THROWS_WITH_AS(encode_png(zeros({3}, u8)), "png: an image must be [height, width, channels], this tensor is [3]", ShapeError);
  CHECK_THROWS_WITH_AS(encode_png(zeros({3, 4, 5}, u8)), "png: an image has 1 to 4 channels, this tensor is [3, 4, 5]", ShapeError);
  CHECK_THROWS_WITH_AS(encode_png(zeros({0, 4, 1}, u8)), "png: the sides must lie between 1 and 1000000, this tensor is [0, 4, 1]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(encode_jpeg(zeros({3, 4, 2}, u8)), "jpeg: an image has 1 or 3 channels, this tensor is [3, 4, 2]", ShapeError);
  CHECK_THROWS_WITH_AS(encode_jpeg(zeros({3, 4, 3}, u8), 0), "jpeg: quality 0 is outside [1, 100]", ValueError);
}

TEST_CASE("images: broken files are refused with the reason") {
  Scratch scratch;
  std::string missing = scratch.path("missing"), none = scratch.put("none", "");
  CHECK(io_error([&] { load_image(missing); }) == "read: " + missing + ": no such file; check the path");
  CHECK(io_error([&] { load_image(none); }) == "read: " + none + ": is empty; was its download or copy cut off?");
  CHECK(io_error([] { decode_image("GIF89a", "a.gif"); }) == "image: a.gif: is neither PNG nor JPEG; convert it to one of them");
  CHECK(io_error([] { decode_image(from_hex(vectors()["cmyk"]), "a.jpg"); }) == "jpeg: a.jpg: is CMYK; convert it to RGB");

  std::string png = file_called("rgb");
  CHECK(io_error([&] { decode_image(png.substr(0, 20), "a"); }) ==
        "png: a: cannot be decoded: the file is truncated: a chunk of 13 bytes has 4");
  CHECK(io_error([&] {
          decode_image(png.substr(0, png.size() - 20), "a");
        }).starts_with("png: a: cannot be decoded: the file is truncated: a chunk of "));
  std::string changed = png;
  changed[png.find("IDAT") + 20] ^= 1;
  CHECK(io_error([&] { decode_image(changed, "a"); }).starts_with("png: a: cannot be decoded: "));

  std::string jpeg = file_called("jpeg rgb");
  CHECK(io_error([&] { decode_image(jpeg.substr(0, jpeg.size() / 2), "a"); }) == "jpeg: a: cannot be decoded: Premature end of JPEG file");
  CHECK(io_error([&] { decode_image(jpeg.substr(0, 2), "a"); }) == "jpeg: a: cannot be decoded: Premature end of JPEG file");
  changed = jpeg;
  size_t frame = jpeg.find("\xff\xc0");
  for (size_t i = 0; i < 4; ++i) changed[frame + 5 + i] = '\xfe';  // height and width
  CHECK(io_error([&] { decode_image(changed, "a"); }) ==
        "jpeg: a: is truncated or corrupt: " + std::to_string(jpeg.size()) + " bytes cannot hold 65278 × 65278 pixels");
}

TEST_CASE("images: damaged files are read or refused, never more") {
  Scratch scratch;
  auto read = [](const std::string& p) { load_image(p); };
  for (const char* name : {"rgb", "interlaced", "palette with transparency", "jpeg rgb", "jpeg progressive"}) {
    CAPTURE(name);
    CHECK(plumb_test::refused_when_damaged(scratch, file_called(name), read) > 60);
  }
}
