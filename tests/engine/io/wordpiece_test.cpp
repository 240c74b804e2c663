// WordPiece against the encodings of the reference library (tests/reference/make.py), and its own rules.
#include <doctest/doctest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "engine/core/error.h"
#include "engine/io/file.h"
#include "engine/io/wordpiece.h"
#include "tests/scratch.h"

using namespace plumb;

namespace {

std::string directory() {
  const char* source = std::getenv("PLUMB_SOURCE");
  return std::string(source ? source : ".") + "/tests/reference/wordpiece/";
}

Tokenizer small() {
  return Tokenizer::word_pieces({"[PAD]", "[UNK]", "[CLS]", "[SEP]", "un", "##want", "##ed", "want", "runn", "##ing", ",", "the"});
}

}  // namespace

TEST_CASE("wordpiece: texts of every kind are encoded as by the reference library, from vocab.txt and from tokenizer.json") {
  auto cases = nlohmann::json::parse(read_file(directory() + "cases.json"));
  Tokenizer lower = Tokenizer::load_word_pieces(directory() + "vocab.txt"), file = Tokenizer::load(directory() + "tokenizer.json");
  Tokenizer cased =
      Tokenizer::load_word_pieces(directory() + "vocab.txt", {.lower_case = false, .strip_accents = false, .split_ideographs = false});
  CHECK(lower.name() == "wordpiece");
  CHECK(lower.vocab_size() == file.vocab_size());
  REQUIRE(cases.size() > 20);
  for (const auto& c : cases) {
    std::string text = c["text"];
    INFO(text);
    CHECK(lower.encode(text) == c["lower"].get<std::vector<int32_t>>());
    CHECK(file.encode(text) == c["lower"].get<std::vector<int32_t>>());
    CHECK(cased.encode(text) == c["cased"].get<std::vector<int32_t>>());
    CHECK(encode_marked(lower, text, 1000).tokens == c["marked"].get<std::vector<int32_t>>());
  }
}

TEST_CASE("wordpiece: the longest pieces from the left, unknown words, and text again") {
  Tokenizer t = small();
  CHECK(t.encode("Unwanted running, THE") == std::vector<int32_t>{4, 5, 6, 8, 9, 10, 11});
  CHECK(t.encode("unwantedx the") == std::vector<int32_t>{1, 11});
  CHECK(t.encode("want\xff") == std::vector<int32_t>{7});  // not UTF-8: dropped
  CHECK(t.decode({4, 5, 6, 10, 11}) == "unwanted , the");
  CHECK(t.token_id("##ing") == 9);
  CHECK_THROWS_AS(t.decode({12}), IndexError);
}

TEST_CASE("wordpiece: markers, segments and truncation") {
  Tokenizer t = small();
  CHECK(encode_marked(t, "the running", 16).tokens == std::vector<int32_t>{2, 11, 8, 9, 3});
  CHECK(encode_marked(t, "the running", 4).tokens == std::vector<int32_t>{2, 11, 8, 3});
  MarkedTokens pair = encode_marked(t, "the running want", "the", 7);
  CHECK(pair.tokens == std::vector<int32_t>{2, 11, 8, 9, 3, 11, 3});
  CHECK(pair.types == std::vector<int32_t>{0, 0, 0, 0, 0, 1, 1});
  CHECK_THROWS_WITH_AS(encode_marked(t, "the", 1), "encode_marked: max_length 1 leaves no room for the 2 markers", ValueError);
  CHECK_THROWS_WITH_AS(encode_marked(Tokenizer::bytes(), "the", 9), "encode_marked: the byte tokenizer has no [CLS] and [SEP]", ValueError);
}

TEST_CASE("wordpiece: a vocabulary of words is learnt by frequency, and spells the rest by characters") {
  std::vector<std::string> tokens = learn_words("The tide, the tide; THE lamp! a", 5 + 2 * 12 + 2);
  CHECK(tokens[4] == "[MASK]");
  CHECK(std::vector<std::string>(tokens.end() - 2, tokens.end()) == std::vector<std::string>{"the", "tide"});
  CHECK(learn_words("the tide the", 100, 2).back() == "the");
  Tokenizer t = Tokenizer::word_pieces(tokens);
  CHECK(t.decode(t.encode("the lamp!")) == "the lamp !");
  CHECK(t.encode("lamp").size() == 4);
  CHECK_THROWS_WITH_AS(learn_words("  ", 10), "wordpiece: there is no word to learn from", ValueError);
}

TEST_CASE("wordpiece: what is saved is loaded again, and bad vocabularies are refused") {
  plumb_test::Scratch scratch;
  Tokenizer t = small();
  t.save(scratch.path("tokenizer.json"));
  Tokenizer again = Tokenizer::load(scratch.path("tokenizer.json"));
  CHECK(again.to_json() == t.to_json());
  CHECK(again.encode("[CLS]unwanted") == std::vector<int32_t>{2, 4, 5, 6});
  CHECK_THROWS_WITH_AS(Tokenizer::word_pieces({"a", "b"}), "wordpiece: the vocabulary lacks the unknown token \"[UNK]\"", ValueError);
  CHECK_THROWS_WITH_AS(Tokenizer::word_pieces({"[UNK]", "b", "b"}), "wordpiece: the token \"b\" is there twice", ValueError);
  std::string path = scratch.put("vocab.txt", "a\nb\n");
  CHECK_THROWS_WITH_AS(Tokenizer::load_word_pieces(path),
                       ("tokenizer: " + path + ": wordpiece: the vocabulary lacks the unknown token \"[UNK]\"").c_str(), IoError);
  path = scratch.put("other.json", R"({"model": {"type": "WordPiece", "vocab": {"[UNK]": 0}}, "normalizer": {"type": "NFC"}})");
  CHECK_THROWS_WITH_AS(Tokenizer::load(path),
                       ("tokenizer: " + path + ": normalizes text by NFC; for WordPiece only BertNormalizer is known").c_str(), IoError);
}
