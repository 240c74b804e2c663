// The miniature's three groups of text: verse, C++ and sums. Real text where it is found, generated text of the same kind where not.
#pragma once
#include <string>

#include "engine/core/generator.h"
#include "models/data_mixing/language_learner.h"

namespace plumb::methods::aioli {

/// Lines "37+58=95;" with both numbers below 100.
std::string generated_sums(size_t bytes, Generator& generator);
/// Speeches of a few people in lines of plain words.
std::string generated_verse(size_t bytes, Generator& generator);
/// Small C++ functions: declarations, loops, conditions, returns.
std::string generated_code(size_t bytes, Generator& generator);
/// The first `bytes` of the C++ files in the folders engine, ops and models of `directory`, in the order of their paths, characters outside
/// ASCII left out; empty if that is no checkout of this project.
std::string project_code(const std::string& directory, size_t bytes);

struct Texts {
  data_mixing::GroupTexts groups;  ///< verse, code, sums: 80 % to train on, 10 % to validate, 10 % to test; a token a character
  int64_t vocab = 0;
};
/// `bytes` of each. Unless `carried`, verse is tiny Shakespeare of the data directory, and code the project's own, found in the directory
/// named by the environment variable PLUMB_SOURCE or in the current one; group names say what was used.
Texts make_texts(size_t bytes, bool carried, Generator& generator);

}  // namespace plumb::methods::aioli
