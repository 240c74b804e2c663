// Number words, and pairs of them with digits.
#include "engine/data/number_pairs.h"

#include <algorithm>

#include "engine/core/error.h"

namespace plumb::data {
namespace {

constexpr const char* kSmall[] = {"zero",     "one",     "two",     "three",     "four",     "five",    "six",
                                  "seven",    "eight",   "nine",    "ten",       "eleven",   "twelve",  "thirteen",
                                  "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"};
constexpr const char* kTens[] = {"twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"};
constexpr std::pair<int64_t, const char*> kScales[] = {
    {1'000'000'000, "billion"}, {1'000'000, "million"}, {1000, "thousand"}, {100, "hundred"}};

void append_words(int64_t n, std::vector<std::string>& words) {
  for (auto [scale, name] : kScales) {
    if (n < scale) continue;
    append_words(n / scale, words);
    words.push_back(name);
    if (n % scale > 0) append_words(n % scale, words);
    return;
  }
  if (n >= 20) words.push_back(kTens[n / 10 - 2]);
  if (n < 20) words.push_back(kSmall[n]);
  else if (n % 10 > 0) words.push_back(kSmall[n % 10]);
}

std::vector<int32_t> numbers_of(const std::vector<std::string>& words, const std::vector<std::string>& tokens) {
  std::vector<int32_t> numbers;
  for (const std::string& word : words)
    numbers.push_back(static_cast<int32_t>(std::find(tokens.begin(), tokens.end(), word) - tokens.begin()));
  return numbers;
}

std::vector<std::string> digits_of(int64_t n) {
  std::vector<std::string> digits;
  for (char c : std::to_string(n)) digits.push_back(std::string(1, c));
  return digits;
}

Tensor padded(const std::vector<std::vector<int32_t>>& rows) {
  size_t longest = 0;
  for (const auto& row : rows) longest = std::max(longest, row.size());
  Tensor x = zeros({static_cast<int64_t>(rows.size()), static_cast<int64_t>(longest)}, i64);
  for (size_t r = 0; r < rows.size(); ++r) std::copy(rows[r].begin(), rows[r].end(), x.data<int64_t>() + r * longest);
  return x;
}

}  // namespace

std::vector<std::string> number_words(int64_t n) {
  if (n < 0 || n >= 1'000'000'000'000) throw ValueError("number_words: " + std::to_string(n) + " does not lie in [0, 10^12)");
  std::vector<std::string> words;
  append_words(n, words);
  return words;
}

NumberPairs::NumberPairs(int64_t digits, bool to_words)
    : digits_most_(digits), to_words_(to_words), words_{"<pad>", "<begin>", "<end>"}, digits_(words_) {
  if (digits < 1 || digits > 12) throw ValueError("number_pairs: digits must lie between 1 and 12, they are " + std::to_string(digits));
  for (const char* word : kSmall) words_.push_back(word);
  for (const char* word : kTens) words_.push_back(word);
  for (auto [scale, word] : kScales) words_.push_back(word);
  for (char c = '0'; c <= '9'; ++c) digits_.push_back(std::string(1, c));
}

NumberPairs::Part NumberPairs::part_of(int64_t number) {
  uint64_t h = static_cast<uint64_t>(number) + 0x9e3779b97f4a7c15u;  // the mixing steps of SplitMix64
  h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9u;
  h = (h ^ h >> 27) * 0x94d049bb133111ebu;
  uint64_t tenth = (h ^ h >> 31) % 10;
  return tenth == 0 ? Part::validation : tenth == 1 ? Part::test : Part::train;
}

std::vector<int64_t> NumberPairs::draw(Part part, int64_t count, Generator& generator) const {
  std::vector<int64_t> numbers;
  while (static_cast<int64_t>(numbers.size()) < count) {
    int64_t length = 1 + static_cast<int64_t>(generator.next_double() * static_cast<double>(digits_most_)), low = 0, high = 10;
    for (int64_t i = 1; i < length; ++i) low = high, high *= 10;
    int64_t number = low + static_cast<int64_t>(generator.next_double() * static_cast<double>(high - low));
    if (part_of(number) == part) numbers.push_back(number);
  }
  return numbers;
}

std::vector<int32_t> NumberPairs::source(int64_t number) const {
  return numbers_of(to_words_ ? digits_of(number) : number_words(number), source_tokens());
}
std::vector<int32_t> NumberPairs::target(int64_t number) const {
  return numbers_of(to_words_ ? number_words(number) : digits_of(number), target_tokens());
}

PairBatch NumberPairs::batch(const std::vector<int64_t>& numbers) const {
  std::vector<std::vector<int32_t>> sources, inputs, outputs;
  for (int64_t number : numbers) {
    sources.push_back(source(number));
    outputs.push_back(target(number));
    inputs.push_back(outputs.back());
    inputs.back().insert(inputs.back().begin(), 1);
    outputs.back().push_back(2);
  }
  return {padded(sources), padded(inputs), padded(outputs)};
}

std::vector<int32_t> NumberPairs::parse(const std::string& text) const {
  std::vector<int32_t> tokens;
  std::string word;
  auto close = [&] {
    if (word.empty()) return;
    auto found = std::find(source_tokens().begin() + 3, source_tokens().end(), word);
    if (found == source_tokens().end()) throw ValueError("number_pairs: \"" + word + "\" is no " + (to_words_ ? "digit" : "number word"));
    tokens.push_back(static_cast<int32_t>(found - source_tokens().begin()));
    word.clear();
  };
  for (char c : text) {
    if (c == ' ' || c == '-') close();
    else word += c;
    if (to_words_) close();
  }
  close();
  return tokens;
}

std::string NumberPairs::print(const std::vector<int32_t>& target) const {
  std::string text;
  for (int32_t token : target)
    if (token >= 3) text += (to_words_ && !text.empty() ? " " : "") + target_tokens().at(static_cast<size_t>(token));
  return text;
}

int64_t NumberPairs::longest() const {
  int64_t most = 0, nines = 0, sevens = 0;
  for (int64_t i = 0; i < digits_most_; ++i) nines = 10 * nines + 9, sevens = 10 * sevens + 7;
  for (int64_t n : {nines, sevens}) most = std::max({most, static_cast<int64_t>(source(n).size()), static_cast<int64_t>(target(n).size())});
  return most + 2;
}

}  // namespace plumb::data
