// Compressed data and archives.
#include "engine/data/film_reviews.h"
#include "engine/io/file.h"
#include "engine/io/tar.h"
#include "engine/io/zip.h"
#include "tests/engine/io/tar_entry.h"
#include "tests/fuzz/target.h"

using namespace plumb;

namespace plumb_fuzz {
namespace {

const std::string kText = "the cat sat on the mat; the rat sat on the cat\n";

std::string archive(const std::string& name) {
  return plumb_test::tar_entry(name, kText) + plumb_test::tar_entry("x/", "", '5') + std::string(1024, '\0');
}

}  // namespace

std::vector<Target> archive_targets() {
  return {
      {"gzip", [](std::string_view bytes) { gunzip(bytes, "x.gz"); },
       [] {
         return std::vector{gzip(kText + kText), gzip("a") + gzip("") + gzip(kText) + std::string(9, '\0')};
       }},
      {"zip", [](std::string_view bytes) { read_zip(bytes, "x.zip"); },
       [] {
         return std::vector{zip_bytes({{"a", kText + kText}, {"b/c", ""}}, true, "x.zip"), zip_bytes({{"a", kText}}, false, "x.zip")};
       },
       "zip"},
      {"tar", [](std::string_view bytes) { tar_members(bytes, "x.tar"); }, [] { return std::vector{archive("a/b.txt")}; }, nullptr, 4096},
      {"film_reviews", [](std::string_view bytes) { with_file(bytes, [](const std::string& path) { data::read_film_reviews(path); }); },
       [] {
         return std::vector{archive("txt_sentoken/neg/cv123_4.txt"), gzip(archive("txt_sentoken/pos/cv000_1.txt"))};
       },
       nullptr, 4096},
  };
}

}  // namespace plumb_fuzz
