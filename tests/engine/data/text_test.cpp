// Text files to token streams and windows.
#include "engine/data/text.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "engine/io/file.h"
#include "engine/io/sha256.h"

using namespace plumb;

static std::string written(const std::string& name, const std::string& content) {
  std::string path = (std::filesystem::temp_directory_path() / ("plumb_text_" + name)).string();
  write_file_atomic(path, content);
  return path;
}

TEST_CASE("text files are read one after the other, and keep their names and hashes") {
  std::string a = written("a.txt", "hello "), b = written("b.txt", "world"), c = written("c.txt", "!");
  data::Text text = data::read_text_files({a, b, c});
  CHECK(text.text == "hello world!");
  CHECK(text.name == a + " and 2 more files");
  CHECK(data::read_text_files({a, b}).name == a + " and 1 more file");
  REQUIRE(text.hashes.size() == 3);
  CHECK(text.hashes[1].path == b);
  CHECK(text.hashes[1].sha256 == sha256("world"));

  data::TokenStream tokens = data::tokenize(text, Tokenizer::bytes());
  CHECK(tokens.size() == 12);
  CHECK(tokens[4] == 'o');
  CHECK(tokens.name() == text.name);
  CHECK_THROWS_WITH_AS(data::check_context(data::tokenize(data::read_text_files({b}), Tokenizer::bytes()), 8),
                       ("--context 8 is longer than the text: " + b + " has 5 tokens; give a longer text or --context 4 or less").c_str(),
                       ConfigError);

  CHECK_THROWS_WITH_AS(data::read_text_files({}), "text: no files were given", ValueError);
  CHECK_THROWS_WITH_AS(data::read_text_files({a, "no/such.txt"}), doctest::Contains("no/such.txt"), IoError);
  for (const std::string& path : {a, b, c}) std::filesystem::remove(path);
  CHECK_THROWS_WITH_AS(
      data::tiny_shakespeare("no/data"),
      "tinyshakespeare: no/data/text/tinyshakespeare.txt is missing (with and without .gz); fetch it: plumb data fetch tinyshakespeare",
      IoError);
}

TEST_CASE("token_windows: whole windows as examples that compose") {
  data::TokenStream text(std::vector<int32_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, "t");
  data::Dataset d = data::token_windows(text, 4);
  CHECK(d.size() == 2);  // targets 1–4 and 5–8
  CHECK(to_vector<int64_t>(d[1].tokens) == std::vector<int64_t>{4, 5, 6, 7});
  CHECK(to_vector<int64_t>(d[1].target) == std::vector<int64_t>{5, 6, 7, 8});
  data::Dataset dense = data::token_windows(text, 4, 1);
  CHECK(dense.size() == 6);
  data::Batch b = dense.shuffle({.seed = 1}).batch(6).next();
  CHECK(b.tokens.shape() == Shape{6, 4});
  CHECK(to_vector<int64_t>(dense[5].target) == std::vector<int64_t>{6, 7, 8, 9});
  CHECK_THROWS_WITH_AS(data::token_windows(text, 10),
                       "--context 10 is longer than the text: t has 10 tokens; give a longer text or --context 9 or less", ConfigError);
  CHECK_THROWS_WITH_AS(data::token_windows(text, 0), "windows: context 0 is less than 1", ValueError);
  CHECK_THROWS_WITH_AS(data::token_windows(text, 2, -1), "windows: stride -1 is less than 0", ValueError);
}
