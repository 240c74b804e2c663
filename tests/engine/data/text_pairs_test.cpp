// Pairs of texts: words of texts and of code, what the rules drop, passages, comments and functions, source trees and archives.
#include "engine/data/text_pairs.h"

#include <doctest/doctest.h>

#include <cstdlib>

#include "engine/core/error.h"

using namespace plumb;
using namespace plumb::data;

namespace {
using Words = std::vector<std::string>;
}

TEST_CASE("text pairs: words of a text, and parts of names in code") {
  CHECK(words_of("Don't panic, 42 times!") == Words{"don't", "panic", "42", "times"});
  CHECK(words_of("HardNegativeSampler draw_one(HTTPServer x2)") == Words{"hardnegativesampler", "draw", "one", "httpserver", "x2"});
  CHECK(words_of("HardNegativeSampler draw_one(HTTPServer x2)", true) ==
        Words{"hard", "negative", "sampler", "draw", "one", "http", "server", "x2"});
  CHECK(words_of("  ").empty());
  CHECK(first_words("One, two; three four", 3) == "one two three");
}

TEST_CASE("text pairs: the rules name why a pair is dropped, and keep long texts") {
  const std::string document = "one two three four five six seven eight nine";
  auto reason = [&](const std::string& query, const std::string& d) { return reason_to_drop({query, d}); };
  CHECK(reason("adds up all of the numbers", document) == "");
  CHECK(reason("too short", document) == "short");
  CHECK(reason("adds up all of the numbers", "x") == "short");
  CHECK(reason("see https://example.org for how this is done", document) == "URL");
  CHECK(reason("this is <b>bold</b> and so it goes on", document) == "HTML");
  CHECK(reason("a std::vector<float> of numbers where x < y > z holds", document) == "");
  CHECK(reason("a broken \xC3\x28 character in the text", document) == "invalid characters");
  CHECK(reason("a bell \x07 rings in the text now", document) == "invalid characters");
  CHECK(reason("складывает все числа подряд", document) == "not English");
  std::string longer;
  for (int i = 0; i < 2000; ++i) longer += "word ";
  CHECK(reason(longer, longer) == "");
  std::vector<TextPair> kept =
      selected_pairs({{"adds up all of the numbers", document}, {"adds up all of the numbers", document + " ten"}, {"short", document}});
  CHECK(kept.size() == 1);
}

TEST_CASE("text pairs: passages of lines") {
  std::vector<TextPair> pairs = passage_pairs("a\n\n b \nc\nd\ne\nf\ng\nh\n", 3, 9);
  REQUIRE(pairs.size() == 2);  // "g h" is too short
  CHECK(pairs[0].query == "a");
  CHECK(pairs[0].document == "b c");
  CHECK(pairs[1].query == "d");
  CHECK(pairs[1].source == 9);
  CHECK_THROWS_WITH_AS(passage_pairs("a", 1), "passage_pairs: a passage needs at least 2 sentences, got 1", ValueError);
}

TEST_CASE("text pairs: comments with the functions they stand above") {
  const std::string header = R"(// A header.
/// Adds two numbers.
/// Nothing overflows.
int add(int a, int b);

/// A pair of numbers.
struct Pair {
  int first = 0;  ///< the first one
  /// Their product.
  int product() const { return first * 2; }
};
/// A number.
inline int number = 3;
/// Declared alone.
double halve(double x);
)";
  const std::string source = R"(#include "a.h"
int twice(int x) { return add(x, x); }

int add(int a, int b) {
  if (a) { return a + b; }
  return b;
}
)";
  std::vector<TextPair> pairs = comment_pairs(header, source, 4);
  REQUIRE(pairs.size() == 3);
  CHECK(pairs[0].query == "Adds two numbers. Nothing overflows.");
  CHECK(pairs[0].document == "int add(int a, int b) {\nif (a) { return a + b; }\nreturn b;\n}");
  CHECK(pairs[1].query == "Their product.");
  CHECK(pairs[1].document == "int product() const { return first * 2; }");
  CHECK(pairs[2].document == "double halve(double x);");
  CHECK(pairs[2].source == 4);
}

TEST_CASE("text pairs: the project's own sources") {
  const char* tree = std::getenv("PLUMB_SOURCE");
  if (!tree) {
    MESSAGE("skipped: PLUMB_SOURCE is not set");
    return;
  }
  std::vector<TextPair> pairs = source_tree_pairs(tree);
  CHECK(pairs.size() > 1000);
  bool found = false;
  for (const TextPair& p : pairs)
    found = found || (p.document.starts_with("std::vector<std::string> words_of(const std::string& text, bool code") &&
                      p.document.find('{') != std::string::npos);
  CHECK(found);
}

TEST_CASE("text pairs: a tree that is not there is named") {
  CHECK_THROWS_WITH_AS(source_tree_pairs("/no/such/tree"),
                       "source_tree_pairs: /no/such/tree is missing; give a source tree or an archive of one", IoError);
}
