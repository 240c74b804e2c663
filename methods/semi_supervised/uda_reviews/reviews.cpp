// Reviews to words by number, and which of them have labels.
#include "methods/semi_supervised/uda_reviews/reviews.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <sstream>
#include <unordered_map>

#include "engine/core/error.h"
#include "models/augment/text_view.h"
#include "ops/index.h"

namespace plumb::methods::uda_reviews {
namespace {

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

// The most frequent words, more frequent first, equally frequent ones by spelling.
std::unordered_map<std::string, int64_t> numbered(const std::map<std::string, int64_t>& counts, int64_t vocabulary) {
  std::vector<std::pair<std::string, int64_t>> order(counts.begin(), counts.end());
  std::ranges::stable_sort(order, [](const auto& a, const auto& b) { return a.second > b.second; });
  std::unordered_map<std::string, int64_t> number;
  int64_t next = kUnknown + 1;
  for (const auto& [word, count] : order)
    if (next < vocabulary) number[word] = next++;
  return number;
}

// Where in a table of cumulative weights a uniform number falls.
int64_t drawn(const std::vector<double>& cumulative, Generator& g) {
  return std::ranges::upper_bound(cumulative, g.next_double() * cumulative.back()) - cumulative.begin();
}

Tensor at(const std::vector<int64_t>& values, const std::vector<int64_t>& places) {
  std::vector<int64_t> out;
  for (int64_t i : places) out.push_back(values[static_cast<size_t>(i)]);
  return from_vector(out);
}

}  // namespace

ReviewWords in_words(const std::vector<data::Review>& reviews, int64_t vocabulary, int64_t first_test_fold) {
  if (vocabulary < 3) throw ValueError(fmt::format("reviews: a vocabulary of {}", vocabulary));
  ReviewWords out{.vocabulary = vocabulary, .published = true};
  std::vector<std::vector<std::string>> texts;
  std::map<std::string, int64_t> counts;
  size_t training = 0;
  for (const data::Review& review : reviews) {
    texts.push_back(words_of(review.text));
    if (review.fold() >= first_test_fold) continue;
    ++training;
    for (const std::string& word : texts.back()) ++counts[word];
  }
  if (training == 0 || training == reviews.size())
    throw ValueError(
        fmt::format("reviews: test folds from {} on leave {} of {} reviews to train on", first_test_fold, training, reviews.size()));
  auto number = numbered(counts, vocabulary);
  for (size_t i = 0; i < texts.size(); ++i) {
    out.words.emplace_back();
    for (const std::string& word : texts[i]) {
      auto known = number.find(word);
      out.words.back().push_back(known == number.end() ? kUnknown : known->second);
    }
    out.positive.push_back(reviews[i].positive);
    out.fold.push_back(reviews[i].fold());
  }
  return out;
}

ReviewWords made_up_reviews(int64_t count, Generator& g) {
  constexpr int64_t kPlain = 300, kOpinions = 40, kFirst = kUnknown + 1;
  std::vector<double> plain, opinion;
  for (int64_t k = 0; k < kPlain; ++k) plain.push_back((plain.empty() ? 0 : plain.back()) + 1 / static_cast<double>(k + 1));
  for (int64_t k = 0; k < kOpinions; ++k) opinion.push_back(static_cast<double>(k + 1));
  ReviewWords out{.vocabulary = kFirst + kPlain + 2 * kOpinions};
  for (int64_t i = 0; i < count; ++i) {
    int64_t positive = i % 2, length = 40 + static_cast<int64_t>(g.next_below(41));
    augment::Sentence words;
    for (int64_t t = 0; t < length; ++t) {
      if (g.next_double() >= 0.125) {
        words.push_back(kFirst + drawn(plain, g));
        continue;
      }
      int64_t side = g.next_double() < 0.75 ? positive : 1 - positive;
      words.push_back(kFirst + kPlain + side * kOpinions + drawn(opinion, g));
    }
    out.words.push_back(std::move(words));
    out.positive.push_back(positive);
    out.fold.push_back((i / 2) % 10);
  }
  return out;
}

SemiData split_reviews(const ReviewWords& reviews, int64_t per_class, int64_t length, Generator& generator, int64_t first_test_fold) {
  if (per_class < 0) throw ValueError(fmt::format("reviews: {} labels a class", per_class));
  std::vector<int64_t> labelled, training, test, taken(2);
  for (int64_t i : data::random_order(static_cast<int64_t>(reviews.words.size()), generator)) {
    auto place = static_cast<size_t>(i);
    if (reviews.fold[place] >= first_test_fold) {
      test.push_back(i);
      continue;
    }
    training.push_back(i);
    auto& count = taken[static_cast<size_t>(reviews.positive[place])];
    if (per_class == 0 || count < per_class) ++count, labelled.push_back(i);
  }
  for (size_t side = 0; side < 2; ++side)
    if (taken[side] < std::max<int64_t>(1, per_class))
      throw ValueError(fmt::format("reviews: {} {} reviews to train on, fewer than {}", taken[side], side ? "positive" : "negative",
                                   std::max<int64_t>(1, per_class)));
  std::ranges::sort(training);
  std::ranges::sort(test);
  auto rows = [&](const std::vector<int64_t>& places) {
    std::vector<augment::Sentence> words;
    for (int64_t i : places) words.push_back(reviews.words[static_cast<size_t>(i)]);
    return augment::padded_tokens(words, length, kPadding);
  };
  return {rows(labelled),
          at(reviews.positive, labelled),
          rows(training),
          at(reviews.positive, training),
          rows(test),
          at(reviews.positive, test),
          2};
}

}  // namespace plumb::methods::uda_reviews
