// Tokenizers: bytes, characters, and byte pairs against encodings stored from the reference library.
#include "engine/io/tokenizer.h"

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "engine/io/bpe.h"
#include "engine/io/file.h"
#include "tests/engine/io/damage.h"

using namespace plumb;
using plumb_test::io_error;
using plumb_test::Scratch;
using Json = nlohmann::json;

namespace {

// Written by tests/reference/tokenizer_vectors.py.
const Json& vectors() {
  static const Json json = [] {
    const char* source = std::getenv("PLUMB_SOURCE");
    return Json::parse(read_file(std::string(source ? source : ".") + "/tests/reference/tokenizer_vectors.json"));
  }();
  return json;
}

int mismatches(const Tokenizer& tokenizer, const Json& encodings) {
  int wrong = 0;
  for (const Json& e : encodings) {
    std::vector<int32_t> tokens = tokenizer.encode(e[0].get<std::string>());
    bool same = tokens == e[1].get<std::vector<int32_t>>();
    CHECK_MESSAGE(same, e[0].dump() << ": expected " << e[1].dump() << ", got " << Json(tokens).dump());
    wrong += !same;
  }
  return wrong;
}

template <typename F>
std::string value_error(F&& f) {
  try {
    f();
  } catch (const ValueError& e) { return e.what(); }
  return "";
}

std::string json_error(const std::string& text) {
  std::string message = io_error([&] { Tokenizer::from_json(text, "t.json"); });
  return message.starts_with("tokenizer: t.json: ") ? message.substr(19) : message;
}

// A vocabulary of a, b and their merge, with one member of the file replaced.
std::string small_file(const char* pointer = nullptr, const Json& value = nullptr) {
  Json file = Json::parse(R"({"added_tokens":[],"normalizer":null,"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false},
    "model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]}})");
  if (pointer) file[Json::json_pointer(pointer)] = value;
  return file.dump();
}

}  // namespace

TEST_CASE("byte tokenizer: token i is byte i") {
  Tokenizer t;
  CHECK(t.name() == "byte");
  CHECK(t.vocab_size() == 256);
  CHECK(t.encode("a\xff\n") == std::vector<int32_t>{97, 255, 10});
  CHECK(t.decode({97, 255, 10}) == "a\xff\n");
  CHECK(t.token_id("a") == 97);
  CHECK_FALSE(t.token_id("ab").has_value());
  CHECK_THROWS_WITH_AS(t.decode({1, 256}), "decode: token 256 is outside the vocabulary of 256", IndexError);
  CHECK_THROWS_WITH_AS(t.decode({-1}), "decode: token -1 is outside the vocabulary of 256", IndexError);
  CHECK(Tokenizer::from_json(t.to_json()).name() == "byte");
}

TEST_CASE("char tokenizer: one token for each code point, in ascending order") {
  Tokenizer t = Tokenizer::characters("hé\nllo 😀 é");
  CHECK(t.name() == "char");
  CHECK(t.vocab_size() == 7);
  CHECK(t.encode("\n hloé😀") == std::vector<int32_t>{0, 1, 2, 3, 4, 5, 6});
  CHECK(t.decode({6, 5, 0}) == "😀é\n");
  CHECK(t.token_id("é") == 5);
  CHECK_FALSE(t.token_id("z").has_value());
  CHECK(t.encode("").empty());
}

TEST_CASE("char tokenizer: saved and loaded it gives the same numbers") {
  Scratch scratch;
  std::string text = "quotes \" and \\, é, 潮, 😀, \x01\x7f";
  text.push_back('\0');
  Tokenizer t = Tokenizer::characters(text);
  t.save(scratch.path("tokenizer.json"));
  Tokenizer loaded = Tokenizer::load(scratch.path("tokenizer.json"));
  CHECK(loaded.name() == "char");
  CHECK(loaded.encode(text) == t.encode(text));
  CHECK(loaded.decode(t.encode(text)) == text);
  CHECK(loaded.to_json() == t.to_json());
}

TEST_CASE("char tokenizer: an unknown character is named with its place") {
  Tokenizer t = Tokenizer::characters("ab\n");
  CHECK(value_error([&] { t.encode("ab\nbé"); }) ==
        "char tokenizer: the character \"é\" (U+00E9) at byte 4 (line 2) is not among the 3 known ones; leave it out, or train with a byte "
        "or "
        "bpe tokenizer");
  CHECK(value_error([&] { t.encode("\t"); }) ==
        "char tokenizer: the character U+0009 at byte 0 (line 1) is not among the 3 known ones; leave it out, or train with a byte or bpe "
        "tokenizer");
  CHECK(value_error([&] { t.encode("a\xe9"); }) ==
        "char tokenizer: the text is not UTF-8 at byte 1 (line 1); convert it, or use a byte or bpe tokenizer");
  for (const char* bad : {"\xc0\x80", "\xed\xa0\x80", "\xe2\x82", "\xf4\x90\x80\x80", "\x80", "\xff", "\xe0\x9f\xbf"})
    CHECK_MESSAGE(value_error([&] { Tokenizer::characters(std::string("a\n") + bad); }) ==
                      "char tokenizer: the text is not UTF-8 at byte 2 (line 2); convert it, or use a byte or bpe tokenizer",
                  bad);
  CHECK(value_error([] { Tokenizer::characters(""); }) == "char tokenizer: the text is empty");
}

TEST_CASE("byte pairs: encodings equal the reference library's") {
  REQUIRE(vectors()["plain"]["encodings"].size() > 100);
  for (const char* kind : {"plain", "special", "prefix_space"}) {
    CAPTURE(kind);
    Tokenizer t = Tokenizer::from_json(vectors()[kind]["tokenizer"].dump());
    CHECK(t.name() == "bpe");
    CHECK(mismatches(t, vectors()[kind]["encodings"]) == 0);
  }
}

TEST_CASE("byte pairs: learning finds the reference library's merges") {
  std::string text = vectors()["training_text"];
  Json reference = vectors()["plain"]["tokenizer"];
  Tokenizer t = Tokenizer::byte_pairs(text, {.vocab_size = 420, .min_count = 2});
  Json learnt = Json::parse(t.to_json());
  CHECK(t.vocab_size() == static_cast<int64_t>(reference["model"]["vocab"].size()));
  CHECK(learnt["model"]["vocab"] == reference["model"]["vocab"]);
  REQUIRE(learnt["model"]["merges"].size() == reference["model"]["merges"].size());
  for (size_t i = 0; i < learnt["model"]["merges"].size(); ++i) {
    const Json& pair = reference["model"]["merges"][i];
    CHECK(learnt["model"]["merges"][i].get<std::string>() == pair[0].get<std::string>() + " " + pair[1].get<std::string>());
  }
  CHECK(mismatches(t, vectors()["plain"]["encodings"]) == 0);
}

TEST_CASE("byte pairs: decode gives back every text, and every byte") {
  Tokenizer t =
      Tokenizer::byte_pairs(vectors()["training_text"].get<std::string>(), {.vocab_size = 350, .special_tokens = {"<|endoftext|>"}});
  for (const Json& e : vectors()["plain"]["encodings"]) {
    std::string text = e[0];
    CHECK(t.decode(t.encode(text)) == text);
  }
  std::mt19937 random(5);
  for (int i = 0; i < 200; ++i) {
    std::string bytes(random() % 40, 0);
    for (char& c : bytes) c = static_cast<char>(random() % 3 ? random() : "a 'é\n1"[random() % 7]);
    CHECK(t.decode(t.encode(bytes)) == bytes);
  }
  std::string long_word;  // one piece: merging must not take quadratic time
  for (int i = 0; i < 300'000; ++i) long_word += static_cast<char>('a' + random() % 26);
  CHECK(t.decode(t.encode(long_word)) == long_word);
}

TEST_CASE("byte pairs: special tokens get the last numbers and are never split") {
  Tokenizer t = Tokenizer::byte_pairs("aaab aaab aaab", {.vocab_size = 258, .special_tokens = {"<|endoftext|>"}});
  CHECK(t.vocab_size() == 258);
  CHECK(t.token_id("<|endoftext|>") == 257);
  std::vector<int32_t> tokens = t.encode("b<|endoftext|>b");
  CHECK(tokens == std::vector<int32_t>{t.token_id("b").value(), 257, t.token_id("b").value()});
  CHECK(t.decode(tokens) == "b<|endoftext|>b");
  CHECK(Tokenizer::byte_pairs("xy", {.vocab_size = 4096}).vocab_size() == 256);  // nothing occurs twice
}

TEST_CASE("byte pairs: what cannot be learnt is refused") {
  CHECK(value_error([] { Tokenizer::byte_pairs(""); }) == "bpe: the text to learn from is empty");
  CHECK(value_error([] { Tokenizer::byte_pairs("a", {.vocab_size = 256, .special_tokens = {"<s>"}}); }) ==
        "bpe: a vocabulary of 256 has no room for the 256 bytes and the special tokens; give 257 or more");
  CHECK(value_error([] {
          Tokenizer::byte_pairs("a", {.vocab_size = 300, .special_tokens = {"<s>", "<s>"}});
        }) == "bpe: special token \"<s>\" is given twice");
  CHECK(value_error([] { Tokenizer::byte_pairs("a", {.vocab_size = 300, .special_tokens = {""}}); }) == "bpe: special token \"\" is empty");
}

TEST_CASE("byte pairs: saved and loaded they give the same numbers") {
  Scratch scratch;
  for (const char* kind : {"plain", "special", "prefix_space"}) {
    Tokenizer::from_json(vectors()[kind]["tokenizer"].dump()).save(scratch.path("tokenizer.json"));
    Tokenizer loaded = Tokenizer::load(scratch.path("tokenizer.json"));
    CHECK(mismatches(loaded, vectors()[kind]["encodings"]) == 0);
  }
}

TEST_CASE("tokenizer.json: options that byte-level BPE has are followed") {
  CHECK(Tokenizer::from_json(small_file()).encode("abba") == std::vector<int32_t>{2, 1, 0});
  CHECK(Tokenizer::from_json(small_file("/model/merges", Json::parse(R"([["a","b"]])"))).encode("ab") == std::vector<int32_t>{2});
  CHECK(value_error([] { Tokenizer::from_json(small_file()).encode("abc"); }) ==
        "bpe: byte 99 of \"abc\" is no token, and the vocabulary has none for the unknown");
  Json unknown = Json::parse(small_file("/model/unk_token", "<unk>"));
  unknown["model"]["vocab"]["<unk>"] = 3;
  CHECK(Tokenizer::from_json(unknown.dump()).encode("accb") == std::vector<int32_t>{0, 3, 3, 1});
  unknown["model"]["fuse_unk"] = true;
  CHECK(Tokenizer::from_json(unknown.dump()).encode("accb") == std::vector<int32_t>{0, 3, 1});
  Json whole = Json::parse(small_file("/model/ignore_merges", true));
  whole["model"]["vocab"]["aba"] = 3;
  CHECK(Tokenizer::from_json(whole.dump()).encode("aba") == std::vector<int32_t>{3});
  Json gap = Json::parse(small_file("/model/vocab/c", 9));
  CHECK(Tokenizer::from_json(gap.dump()).vocab_size() == 10);
  CHECK_THROWS_WITH_AS(Tokenizer::from_json(gap.dump()).decode({5}), "decode: token 5 is outside the vocabulary of 10", IndexError);
}

TEST_CASE("tokenizer.json: what is missing, inconsistent or unknown is refused by name") {
  Scratch scratch;
  std::string missing = scratch.path("missing");
  CHECK(io_error([&] { Tokenizer::load(missing); }) == "read: " + missing + ": no such file; check the path");
  std::string empty = scratch.put("empty", "");
  CHECK(io_error([&] { Tokenizer::load(empty); }) == "read: " + empty + ": is empty; was its download or copy cut off?");
  CHECK(json_error("{\"model\":").starts_with("is no valid JSON, perhaps cut off: "));
  CHECK(json_error("[]") == "is not a JSON object");
  CHECK(json_error("{}") == "has neither a \"model\" nor a \"type\" that is byte or char");
  CHECK(json_error(R"({"type":"char"})") == "has no list \"vocabulary\", or an empty one");
  CHECK(json_error(R"({"type":"char","vocabulary":["a","bc"]})") == "vocabulary entry 1 is not one character");
  CHECK(json_error(R"({"type":"char","vocabulary":["a","a"]})") == "vocabulary entry 1, \"a\", is there twice");
  CHECK(json_error(small_file("/model/type", "Unigram")) == "is a Unigram model; only byte-level BPE and WordPiece are known");
  CHECK(json_error(small_file("/normalizer", {{"type", "NFC"}})) == "has a normalizer (NFC), which is not known");
  CHECK(json_error(small_file("/pre_tokenizer", {{"type", "Whitespace"}})) == "splits text by Whitespace; only GPT-2's ByteLevel is known");
  CHECK(json_error(small_file("/pre_tokenizer/use_regex", false)) == "splits text without GPT-2's pattern, which is not known");
  CHECK(json_error(small_file("/pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", {1, 2}}})) ==
        "splits text by a sequence of rules; only GPT-2's ByteLevel is known");
  CHECK(json_error(small_file("/model/dropout", 0.1)) == "uses dropout in its merges, which is not known");
  CHECK(json_error(small_file("/model/end_of_word_suffix", "</w>")) == "uses end_of_word_suffix, which byte-level BPE does not");
  CHECK(json_error(small_file("/model/byte_fallback", true)) == "uses byte_fallback, which byte-level BPE does not");
  CHECK(json_error(small_file("/model/vocab", Json::object())) == "has no model.vocab, or an empty one");
  CHECK(json_error(small_file("/model/vocab/b", "1")) == "token \"b\" has no number");
  CHECK(json_error(small_file("/model/vocab/b", 0)) == "two tokens have the number 0");
  CHECK(json_error(small_file("/model/vocab/b", 4'000'000'000)) == "token \"b\" has number 4000000000, far beyond the 3 tokens");
  CHECK(json_error(small_file("/model/vocab/潮", 3)) == "token \"潮\" is not written in GPT-2's byte alphabet");
  CHECK(json_error(small_file("/model/merges", 1)) == "has no list model.merges");
  CHECK(json_error(small_file("/model/merges", {"a b", "ab"})) == "merge 1, \"ab\", is not a pair");
  CHECK(json_error(small_file("/model/merges", {1})) == "merge 0 is not a pair");
  CHECK(json_error(small_file("/model/merges", {"a c"})) == "merge 0: \"c\" is not in the vocabulary");
  CHECK(json_error(small_file("/model/merges", {"b a"})) == "bpe: merge 0 does not make a token of the vocabulary");
  CHECK(json_error(small_file("/model/unk_token", "<unk>")) == "unk_token: \"<unk>\" is not in the vocabulary");
  CHECK(json_error(small_file("/added_tokens", {{{"content", "x"}, {"id", 3}, {"single_word", true}}})) ==
        "added token \"x\" is single_word, which is not known");
  CHECK(json_error(small_file("/added_tokens", {{{"content", "a"}, {"id", 3}}})) ==
        "token \"a\" has number 0 in the vocabulary, another in added_tokens");
  CHECK(json_error(small_file("/added_tokens", {{{"id", 3}}})) == "added token 0 has no content");
}

TEST_CASE("tokenizer.json: damaged files are read or refused, never more") {
  Scratch scratch;
  auto load_and_encode = [](const std::string& p) {
    try {
      Tokenizer::load(p).encode("the <mask> tide");
    } catch (const ValueError& e) {  // a vocabulary that lost a byte cannot encode it
      CHECK(std::string(e.what()).find("is no token") != std::string::npos);
    }
  };
  CHECK(plumb_test::refused_when_damaged(scratch, vectors()["special"]["tokenizer"].dump(), load_and_encode, 30, 100) > 50);
  auto load = [](const std::string& p) { Tokenizer::load(p); };
  CHECK(plumb_test::refused_when_damaged(scratch, Tokenizer::characters("abcé \n").to_json(), load) > 100);
}

TEST_CASE("byte pairs: the vocabulary of a real text is learnt and encodes it") {
  const char* data = std::getenv("PLUMB_DATA");
  if (!data) {
    MESSAGE("skipped: PLUMB_DATA names no directory of data sets");
    return;
  }
  std::string text = read_text(std::string(data) + "/text/tinyshakespeare.txt");
  Tokenizer t = Tokenizer::byte_pairs(text, {.vocab_size = 4096});
  CHECK(t.vocab_size() == 4096);
  std::vector<int32_t> tokens = t.encode(text);
  CHECK(t.decode(tokens) == text);
  CHECK(tokens.size() < text.size() / 3);
}

TEST_CASE("byte pairs: equal merges, equal spellings and added tokens that begin alike are told apart") {
  auto encoded = [](const BytePairVocabulary& v, const char* text) {
    std::vector<int32_t> tokens;
    make_byte_pairs(v)->encode(text, tokens);
    return tokens;
  };
  // Of equal merges the last counts: b c comes before a b then.
  BytePairVocabulary twice{.tokens = {"a", "b", "c", "ab", "bc"}, .merges = {{0, 1}, {1, 2}, {0, 1}}};
  CHECK(encoded(twice, "abc") == std::vector<int32_t>{0, 4});
  // The piece " a", which the added space makes, is the ordinary token, not the added one that is spelt so.
  BytePairVocabulary spelt{
      .tokens = {" ", "a", " a", " a"}, .merges = {{0, 1}}, .added = {{.text = " a", .id = 3}}, .add_prefix_space = true};
  CHECK(encoded(spelt, "a") == std::vector<int32_t>{2});
  CHECK(encoded(spelt, "a a") == std::vector<int32_t>{2, 3});
  // The longest added token is taken, in whatever order they are listed.
  BytePairVocabulary alike{.tokens = {"x", "<s>", "<s>x"}, .added = {{.text = "<s>", .id = 1}, {.text = "<s>x", .id = 2}}};
  CHECK(encoded(alike, "<s>xx<s>") == std::vector<int32_t>{2, 0, 1});
}
