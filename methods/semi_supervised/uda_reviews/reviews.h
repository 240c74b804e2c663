// Film reviews as rows of word numbers, few of them with a label: the published ones, or made-up ones where they are not at hand.
#pragma once
#include "engine/data/film_reviews.h"
#include "methods/common/semi_supervised.h"
#include "models/augment/text.h"

namespace plumb::methods::uda_reviews {

constexpr int64_t kPadding = 0, kUnknown = 1;  ///< the first words of every vocabulary

/// Reviews in words by number.
struct ReviewWords {
  std::vector<augment::Sentence> words;
  std::vector<int64_t> positive, fold;  ///< of each
  int64_t vocabulary = 0;
  bool published = false;
};

/// The most frequent words of the folds before `first_test_fold`, `vocabulary` of them with padding and the unknown word, and each review
/// in them. Throws ValueError for a vocabulary < 3 or a fold that leaves nothing to train on or to test.
ReviewWords in_words(const std::vector<data::Review>& reviews, int64_t vocabulary, int64_t first_test_fold = 7);

/// `count` reviews of 40 to 80 words: most are drawn by Zipf's law from 300 that say nothing; one in eight is an opinion, from 40 words of
/// praise or 40 of blame, three times out of four of the review's own side. Folds go round.
ReviewWords made_up_reviews(int64_t count, Generator& generator);

/// Tokens [n, length], the last words of each review. `per_class` labelled ones of each side from the folds before `first_test_fold`; all
/// of these are unlabelled, too; the others test. per_class 0: all of the training reviews are labelled. Throws ValueError if a side has
/// fewer.
SemiData split_reviews(const ReviewWords& reviews, int64_t per_class, int64_t length, Generator& generator, int64_t first_test_fold = 7);

}  // namespace plumb::methods::uda_reviews
