// The miniature's three groups of text: verse, film reviews and sums. Real text where it is found, generated text of the same kind where
// not.
#pragma once
#include <string>

#include "engine/core/generator.h"
#include "models/data_mixing/language_learner.h"

namespace plumb::methods::aioli {

/// Lines "37+58=95;" with both numbers below 100.
std::string generated_sums(size_t bytes, Generator& generator);
/// Speeches of a few people in lines of plain words.
std::string generated_verse(size_t bytes, Generator& generator);
/// Reviews of a few plain sentences, lower case, words and punctuation apart.
std::string generated_reviews(size_t bytes, Generator& generator);

struct Texts {
  data_mixing::GroupTexts groups;  ///< verse, reviews, sums: 80 % to train on, 10 % to validate, 10 % to test; a token a character
  int64_t vocab = 0;
};
/// `bytes` of each. Unless `carried`, verse is tiny Shakespeare and reviews are the film reviews of the data directory, the negative ones
/// by their numbers, where these are there: texts that do not change. Group names say what was used.
Texts make_texts(size_t bytes, bool carried, Generator& generator);

}  // namespace plumb::methods::aioli
