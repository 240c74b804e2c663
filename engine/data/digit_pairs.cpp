// Pairs of digits and their captions.
#include "engine/data/digit_pairs.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/core/error.h"
#include "engine/core/generator.h"

namespace plumb::data {
namespace {

constexpr std::array kDigitWords{"zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"};
// L and R stand for the digits.
constexpr std::array<const char*, kDigitPairForms> kForms{"a photo of a L left of R .", "L left of R",    "R right of L",
                                                          "the digit L and then R",     "two digits L R", "a L beside a R on its right"};

std::vector<std::string> split_words(const std::string& text) {
  std::vector<std::string> words;
  for (size_t from = 0; from < text.size();) {
    size_t to = std::min(text.find(' ', from), text.size());
    words.push_back(text.substr(from, to - from));
    from = to + 1;
  }
  return words;
}

void check_pair(int64_t pair) {
  if (pair < 0 || pair >= kDigitPairs)
    throw IndexError(fmt::format("digit_pairs: there is no pair {}; they are 0 to {}", pair, kDigitPairs - 1));
}

}  // namespace

std::string digit_pair_caption(int64_t pair, int64_t form) {
  check_pair(pair);
  if (form < 0 || form >= kDigitPairForms)
    throw IndexError(fmt::format("digit_pairs: there is no form {}; they are 0 to {}", form, kDigitPairForms - 1));
  std::string caption;
  for (const std::string& word : split_words(kForms[static_cast<size_t>(form)])) {
    int64_t digit = word == "L" ? pair / 10 : pair % 10;
    caption += (caption.empty() ? "" : " ") + (word == "L" || word == "R" ? std::string(kDigitWords[static_cast<size_t>(digit)]) : word);
  }
  return caption;
}

std::vector<std::string> digit_pair_words() {
  std::vector<std::string> words(kDigitWords.begin(), kDigitWords.end());
  for (const char* form : kForms)
    for (const std::string& word : split_words(form))
      if (word != "L" && word != "R" && std::ranges::find(words, word) == words.end()) words.push_back(word);
  return words;
}

DigitPairs::DigitPairs(const Dataset& digits) {
  Batch all = digits.batch(digits.size()).next();
  images_ = all.image;
  std::vector<int64_t> label = to_vector<int64_t>(all.label);
  for (size_t i = 0; i < label.size(); ++i) places_[static_cast<size_t>(label[i])].push_back(static_cast<int64_t>(i));
  for (size_t d = 0; d < places_.size(); ++d)
    if (places_[d].empty()) throw ValueError(fmt::format("digit_pairs: there is no image of the digit {}", d));
}

Tensor DigitPairs::draw(const std::vector<int64_t>& pairs, Generator& generator) const {
  int64_t height = images_.size(2), width = images_.size(3);
  auto any_of = [&](int64_t digit) -> const float* {
    const std::vector<int64_t>& places = places_[static_cast<size_t>(digit)];
    return images_.data<float>() + places[generator.next_below(places.size())] * height * width;
  };
  Tensor out = empty({static_cast<int64_t>(pairs.size()), 1, height, 2 * width}, f32, cpu, "digit_pairs");
  float* to = out.data<float>();
  for (int64_t pair : pairs) {
    check_pair(pair);
    const float *left = any_of(pair / 10), *right = any_of(pair % 10);
    for (int64_t y = 0; y < height; ++y, left += width, right += width) {
      to = std::copy_n(left, width, to);
      to = std::copy_n(right, width, to);
    }
  }
  return out;
}

CaptionedImages digit_pairs(const Dataset& digits, int64_t count, int64_t form, uint64_t seed) {
  if (count < 1) throw ValueError(fmt::format("digit_pairs: {} images; give at least 1", count));
  DigitPairs source(digits);
  Generator random(seed);
  std::vector<int64_t> pairs;
  CaptionedImages out;
  for (int64_t i = 0; i < count; ++i) {
    pairs.push_back(static_cast<int64_t>(random.next_below(kDigitPairs)));
    out.captions.push_back(digit_pair_caption(pairs.back(), form >= 0 ? form : static_cast<int64_t>(random.next_below(kDigitPairForms))));
  }
  out.images = from_tensors({{"image", source.draw(pairs, random)}});
  return out;
}

}  // namespace plumb::data
