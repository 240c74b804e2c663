// The miniature's task: to sort three symbols out of eight. All 512 prompts are known, and so is what is right.
#pragma once
#include <string>
#include <vector>

#include "engine/core/generator.h"
#include "models/preference/answers.h"

namespace plumb::methods::cream {

inline constexpr int32_t kSymbols = 8, kEquals = 8, kEnd = 9, kVocab = 10;
inline constexpr size_t kLength = 3;

/// s₁ s₂ s₃ =
preference::Tokens sorting_prompt(int64_t number);
/// The symbols of a prompt in ascending order, then the end.
preference::Tokens sorted_answer(const preference::Tokens& prompt);
/// The share of the four places (symbols and end) in which an answer is right; 0 for one that goes on after them.
double token_accuracy(const preference::Tokens& prompt, const preference::Tokens& answer);
/// Each symbol replaced, with probability `rate`, by one drawn from all eight; the end stays.
preference::Tokens corrupted(preference::Tokens answer, double rate, Generator& generator);

/// The 512 prompts in a random order, dealt out.
struct SortingPrompts {
  std::vector<preference::Tokens> seed, unlabelled, test;
};
/// Throws ValueError unless seed + unlabelled leave a prompt to test on.
SortingPrompts deal_prompts(size_t seed, size_t unlabelled, Generator& generator);

}  // namespace plumb::methods::cream
