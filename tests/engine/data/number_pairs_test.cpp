// Number words against known ones, and the pairs made of them.
#include <doctest/doctest.h>

#include <map>
#include <set>

#include "engine/core/error.h"
#include "engine/data/number_pairs.h"

using namespace plumb;
using namespace plumb::data;

namespace {

std::string joined(int64_t n) {
  std::string text;
  for (const std::string& word : number_words(n)) text += (text.empty() ? "" : " ") + word;
  return text;
}

// The value of number words, read from the left: another way round than they are made.
int64_t value_of(const std::vector<std::string>& words) {
  static const std::map<std::string, int64_t> units{
      {"zero", 0},      {"one", 1},      {"two", 2},      {"three", 3},      {"four", 4},      {"five", 5},      {"six", 6},
      {"seven", 7},     {"eight", 8},    {"nine", 9},     {"ten", 10},       {"eleven", 11},   {"twelve", 12},   {"thirteen", 13},
      {"fourteen", 14}, {"fifteen", 15}, {"sixteen", 16}, {"seventeen", 17}, {"eighteen", 18}, {"nineteen", 19}, {"twenty", 20},
      {"thirty", 30},   {"forty", 40},   {"fifty", 50},   {"sixty", 60},     {"seventy", 70},  {"eighty", 80},   {"ninety", 90}};
  static const std::map<std::string, int64_t> groups{{"thousand", 1000}, {"million", 1000000}, {"billion", 1000000000}};
  int64_t total = 0, group = 0;
  for (const std::string& word : words) {
    if (word == "hundred") group *= 100;
    else if (groups.contains(word)) total += group * groups.at(word), group = 0;
    else group += units.at(word);
  }
  return total + group;
}

}  // namespace

TEST_CASE("number words: known ones, and values read back") {
  CHECK(joined(0) == "zero");
  CHECK(joined(13) == "thirteen");
  CHECK(joined(40) == "forty");
  CHECK(joined(1234) == "one thousand two hundred thirty four");
  CHECK(joined(100'000'007) == "one hundred million seven");
  CHECK(joined(999'019'000'200) == "nine hundred ninety nine billion nineteen million two hundred");
  for (int64_t n = 1; n < 1'000'000'000'000; n = n * 3 + 7) CHECK(value_of(number_words(n)) == n);
  CHECK_THROWS_WITH_AS(number_words(-1), "number_words: -1 does not lie in [0, 10^12)", ValueError);
}

TEST_CASE("number pairs: sides, batches and texts") {
  NumberPairs to_digits(6, false), to_words(6, true);
  PairBatch b = to_digits.batch({20, 105});
  CHECK(b.source.shape() == Shape{2, 3});
  CHECK(to_vector<int>(b.input) == std::vector<int>{1, 5, 3, 0, 1, 4, 3, 8});
  CHECK(to_vector<int>(b.output) == std::vector<int>{5, 3, 2, 0, 4, 3, 8, 2});
  CHECK(to_digits.parse("one hundred-five") == to_digits.source(105));
  CHECK(to_words.parse("105") == to_words.source(105));
  CHECK(to_words.print(to_words.target(105)) == "one hundred five");
  CHECK(to_digits.print(to_digits.target(105)) == "105");
  CHECK_THROWS_WITH_AS(to_digits.parse("one hundert"), "number_pairs: \"hundert\" is no number word", ValueError);
  CHECK_THROWS_WITH_AS(NumberPairs(0, true), "number_pairs: digits must lie between 1 and 12, they are 0", ValueError);
}

TEST_CASE("number pairs: parts do not meet, and lengths are alike") {
  NumberPairs pairs(6, false);
  Generator generator(1);
  std::set<int64_t> train, held;
  int64_t six = 0;
  for (int64_t n : pairs.draw(NumberPairs::Part::train, 3000, generator)) train.insert(n), six += n >= 100000;
  for (auto part : {NumberPairs::Part::validation, NumberPairs::Part::test})
    for (int64_t n : pairs.draw(part, 500, generator)) held.insert(n);
  for (int64_t n : held) CHECK_FALSE(train.contains(n));
  CHECK(six > 400);  // a sixth of 3000, by five standard deviations
  CHECK(six < 600);
  int64_t longest = pairs.longest();
  for (int64_t n : train) CHECK(static_cast<int64_t>(std::max(pairs.source(n).size(), pairs.target(n).size())) + 2 <= longest);
}
