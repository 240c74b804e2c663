// Images with captions: from a CSV file, and pairs of digits that are always there.
#include <doctest/doctest.h>

#include <filesystem>
#include <set>

#include "engine/core/error.h"
#include "engine/core/generator.h"
#include "engine/data/digit_pairs.h"
#include "engine/data/digits/digits.h"
#include "engine/io/file.h"
#include "engine/io/image.h"

using namespace plumb;
using namespace plumb::data;
namespace fs = std::filesystem;

namespace {

struct Folder {
  Folder() {
    fs::remove_all(path);
    fs::create_directories(path + "/photos");
    for (uint8_t grey : {10, 20, 30}) save_png(path + "/photos/" + std::to_string(grey) + ".png", square(grey));
  }
  ~Folder() { fs::remove_all(path); }
  static Tensor square(uint8_t grey) {
    Tensor x = empty({2, 3, 1}, u8);
    std::fill_n(x.data<uint8_t>(), 6, grey);
    return x;
  }
  std::string csv(const std::string& text) const {
    write_file_atomic(path + "/pairs.csv", text);
    return path + "/pairs.csv";
  }
  std::string path = (fs::temp_directory_path() / "plumb_captions").string();
};

}  // namespace

TEST_CASE("captioned_images: rows in the file's order, an image may have several captions, numbers are texts") {
  Folder f;
  CaptionedImages set =
      captioned_images(f.csv("caption,source,image\n\"dark, a\",1,photos/10.png\n7,2,photos/30.png\ndarker,3,photos/10.png\n"), 1);
  CHECK(set.captions == std::vector<std::string>{"dark, a", "7", "darker"});
  REQUIRE(set.images.size() == 3);
  CHECK(set.images[1].image.shape() == Shape{1, 2, 3});
  CHECK(to_vector(set.images[1].image)[0] == doctest::Approx(30.0 / 255));
  CHECK(to_vector(set.images[2].image)[0] == doctest::Approx(10.0 / 255));
  CHECK(set.images[2].index == 2);
}

TEST_CASE("captioned_images: what is missing is named") {
  Folder f;
  std::string path = f.csv("picture,caption\nphotos/10.png,a\n");
  CHECK_THROWS_WITH_AS(captioned_images(path), ("captions: " + path + ": has no column \"image\"; it has picture, caption").c_str(),
                       IoError);
  f.csv("image,caption\nphotos/10.png,a\nphotos/20.png,\n");
  CHECK_THROWS_WITH_AS(captioned_images(path), ("captions: " + path + ": row 2 has no caption").c_str(), IoError);
  f.csv("image,caption\nphotos/11.png,a\nphotos/10.png,b\n");
  CHECK_THROWS_AS(captioned_images(path), IoError);
}

TEST_CASE("digit_pairs: captions name both digits in their order") {
  CHECK(digit_pair_caption(73, 0) == "a photo of a seven left of three .");
  CHECK(digit_pair_caption(73, 2) == "three right of seven");
  CHECK(digit_pair_caption(5, 4) == "two digits zero five");
  CHECK_THROWS_WITH_AS(digit_pair_caption(100, 0), "digit_pairs: there is no pair 100; they are 0 to 99", IndexError);
  CHECK_THROWS_WITH_AS(digit_pair_caption(0, 6), "digit_pairs: there is no form 6; they are 0 to 5", IndexError);
  std::vector<std::string> words = digit_pair_words();
  CHECK(std::set<std::string>(words.begin(), words.end()).size() == words.size());
  for (int64_t form = 0; form < kDigitPairForms; ++form) {
    std::string caption = " " + digit_pair_caption(48, form) + " ", rest;
    for (const std::string& word : words)
      for (size_t at; (at = caption.find(" " + word + " ")) != std::string::npos;) caption.replace(at, word.size() + 2, "  ");
    CHECK(caption.find_first_not_of(' ') == std::string::npos);
  }
}

TEST_CASE("digit_pairs: each half of an image is one of the digit's images; a seed gives the same set") {
  Dataset digits = data::digits().test();
  DigitPairs pairs(digits);
  Generator random(1);
  Tensor x = pairs.draw({7, 70, 7}, random);
  REQUIRE(x.shape() == Shape{3, 1, 8, 16});
  std::vector<double> all = to_vector(x);
  auto half = [&](size_t row, size_t from) {
    std::vector<double> out;
    for (size_t y = 0; y < 8; ++y)
      out.insert(out.end(), all.begin() + long(128 * row + 16 * y + from), all.begin() + long(128 * row + 16 * y + from + 8));
    return out;
  };
  auto label_of = [&](const std::vector<double>& image) {
    for (int64_t i = 0; i < digits.size(); ++i)
      if (to_vector(digits[i].image) == image) return *digits[i].label.data<int64_t>();
    return int64_t{-1};
  };
  for (size_t row : {0, 2}) CHECK((label_of(half(row, 0)) == 0 && label_of(half(row, 8)) == 7));
  CHECK((label_of(half(1, 0)) == 7 && label_of(half(1, 8)) == 0));
  CaptionedImages a = digit_pairs(digits, 40, -1, 3), b = digit_pairs(digits, 40, -1, 3), c = digit_pairs(digits, 40, 0, 3);
  CHECK(a.captions == b.captions);
  CHECK(to_vector(a.images[7].image) == to_vector(b.images[7].image));
  CHECK(std::set<std::string>(a.captions.begin(), a.captions.end()).size() > 20);
  for (const std::string& caption : c.captions) CHECK(caption.starts_with("a photo of a "));
  CHECK_THROWS_WITH_AS(DigitPairs(digits.with_labels({1, 2})), "digit_pairs: there is no image of the digit 0", ValueError);
  CHECK_THROWS_WITH_AS(digit_pairs(digits, 0, 0, 1), "digit_pairs: 0 images; give at least 1", ValueError);
}
