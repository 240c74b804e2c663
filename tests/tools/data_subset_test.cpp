// Subsets of data files: cut as bytes, drawn by seed, listed.
#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "engine/core/error.h"
#include "engine/io/file.h"
#include "engine/io/sha256.h"
#include "tests/scratch.h"
#include "tools/data/subset.h"

using namespace plumb;
using namespace plumb::tools;
using plumb_test::Scratch;

namespace {

/// An IDX file of u8 with `count` records of 2×2: record i holds i, i, i, i.
std::string idx_images(int count) {
  std::string bytes{0, 0, 8, 3, 0, 0, 0, static_cast<char>(count), 0, 0, 0, 2, 0, 0, 0, 2};
  for (int i = 0; i < count; ++i) bytes += std::string(4, static_cast<char>(i));
  return bytes;
}

}  // namespace

TEST_CASE("data subset: a draw is distinct, ordered, and a function of its seed") {
  std::vector<int64_t> a = draw_indices(1000, 100, 7);
  CHECK(a == draw_indices(1000, 100, 7));
  CHECK(a != draw_indices(1000, 100, 8));
  CHECK(std::is_sorted(a.begin(), a.end()));
  CHECK(std::set<int64_t>(a.begin(), a.end()).size() == 100);
  CHECK(a.front() >= 0);
  CHECK(a.back() < 1000);
  CHECK(draw_indices(3, 3, 0) == std::vector<int64_t>{0, 1, 2});
  CHECK_THROWS_WITH_AS(draw_indices(3, 4, 0), "subset: 4 records cannot be drawn from 3", ValueError);
}

TEST_CASE("data subset: an IDX file keeps its header but for the number of records") {
  std::string content = idx_images(9);
  CHECK(cut_records(content, "images", false).pick({2, 5}) ==
        std::string({0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2}) + "\2\2\2\2\5\5\5\5");
  CHECK_THROWS_WITH_AS(cut_records(content.substr(0, 40), "images", false),
                       "idx: images: is truncated: [9, 2, 2] needs 36 bytes of elements, the file has 24", IoError);
  // Sizes whose product is 40 only where 64 bits overflow.
  std::string sizes{0, 0, 8, 5};
  for (uint32_t size : {5u, 1u << 31, 1u << 31, 4u, 8u})
    for (int shift : {24, 16, 8, 0}) sizes += static_cast<char>(size >> shift);
  CHECK_THROWS_WITH_AS(cut_records(sizes + std::string(40, 'x'), "images", false),
                       "idx: images: is corrupt: its sizes are beyond any memory", IoError);
  CHECK_THROWS_WITH_AS(cut_records("hello", "images", false),
                       "subset: images: neither .csv, .bin nor .txt by its name, nor IDX by its content", IoError);
}

TEST_CASE("data subset: CIFAR records are 3,073 bytes") {
  std::string content(3 * 3073, 'a');
  content[3073] = 'b';
  RecordFile file = cut_records(content, "batch.bin.gz", false);
  REQUIRE(file.records.size() == 3);
  CHECK(file.pick({2, 1}) == std::string(3073, 'a') + "b" + std::string(3072, 'a'));
  CHECK_THROWS_WITH_AS(cut_records("abc", "batch.bin", false), "subset: batch.bin: 3 bytes are no whole number of CIFAR records of 3073",
                       IoError);
}

TEST_CASE("data subset: CSV rows keep quoted line ends, the header stays on request, a missing last line end is mended") {
  std::string csv = "name,x\n\"a\nb\",1\n\nc,2\nd,3";
  RecordFile file = cut_records(csv, "table.csv", true);
  REQUIRE(file.records.size() == 3);
  CHECK(file.pick({0, 2}) == "name,x\n\"a\nb\",1\nd,3");
  CHECK(file.pick({2, 1}) == "name,x\nd,3\nc,2\n");
  CHECK(cut_records(csv, "table.csv", false).records.size() == 4);
  CHECK(cut_records("one\n\n\"two\n", "story.txt", false).records.size() == 3);
  CHECK_THROWS_WITH_AS(file.pick({3}), "subset: index 3 is outside [0, 3)", IndexError);
}

TEST_CASE("data subset: a list drawn from the images picks the same records of the labels") {
  Scratch scratch;
  std::string images = scratch.put("images.gz", gzip(idx_images(20)));
  std::string labels{0, 0, 8, 1, 0, 0, 0, 20};
  for (int i = 0; i < 20; ++i) labels += static_cast<char>(i);
  scratch.put("labels", labels);
  write_subset({.input = images, .output = scratch.path("few.gz"), .count = 5, .seed = 3});
  write_subset({.input = scratch.path("labels"), .output = scratch.path("few_labels"), .indices = scratch.path("few.gz.indices")});
  std::string few = read_file(scratch.path("few.gz")), few_labels = scratch.get("few_labels");
  REQUIRE(few.size() == 16 + 5 * 4);
  REQUIRE(few_labels.size() == 8 + 5);
  for (int i = 0; i < 5; ++i) CHECK(few[16 + 4 * i] == few_labels[8 + i]);
  CHECK(scratch.get("few.gz.indices").starts_with("# 5 of the 20 records of " + images + ", drawn with seed 3\n# SHA-256 of that file: " +
                                                   sha256_of_file(images) + "\n"));
}

TEST_CASE("data subset: nothing is overwritten and bad lists are refused") {
  Scratch scratch;
  std::string text = scratch.put("a.txt", "one\ntwo\n"), list = scratch.put("list", "# comment\n1x\n");
  CHECK_THROWS_WITH_AS(write_subset({.input = text, .output = text, .count = 1}),
                       ("subset: " + text + " is there already; choose another --out").c_str(), IoError);
  CHECK_THROWS_WITH_AS(write_subset({.input = text, .output = scratch.path("b.txt"), .indices = list}),
                       ("subset: " + list + ": \"1x\" is no index").c_str(), IoError);
  CHECK_FALSE(scratch.has("b.txt"));
}
