// Prompts, answers and their truth.
#include "methods/finetuning/cream/sorting.h"

#include <algorithm>

#include "engine/core/error.h"
#include "engine/data/dataset.h"

namespace plumb::methods::cream {

using preference::Tokens;

Tokens sorting_prompt(int64_t number) {
  if (number < 0 || number >= 512) throw ValueError("sorting_prompt: there are 512 prompts, got number " + std::to_string(number));
  auto n = static_cast<int32_t>(number);
  return {n / 64, n / 8 % 8, n % 8, kEquals};
}

Tokens sorted_answer(const Tokens& prompt) {
  Tokens out(prompt.begin(), prompt.begin() + kLength);
  std::sort(out.begin(), out.end());
  out.push_back(kEnd);
  return out;
}

double token_accuracy(const Tokens& prompt, const Tokens& answer) {
  Tokens right = sorted_answer(prompt);
  if (answer.size() > right.size()) return 0;
  double count = 0;
  for (size_t i = 0; i < answer.size(); ++i) count += answer[i] == right[i];
  return count / static_cast<double>(right.size());
}

Tokens corrupted(Tokens answer, double rate, Generator& generator) {
  for (size_t i = 0; i < kLength; ++i)
    if (generator.next_double() < rate) answer[i] = static_cast<int32_t>(generator.next_below(kSymbols));
  return answer;
}

SortingPrompts deal_prompts(size_t seed, size_t unlabelled, Generator& generator) {
  if (seed + unlabelled >= 512)
    throw ValueError("deal_prompts: " + std::to_string(seed + unlabelled) + " prompts leave none of 512 to test on");
  SortingPrompts out;
  std::vector<int64_t> order = data::random_order(512, generator);
  for (size_t i = 0; i < order.size(); ++i)
    (i < seed ? out.seed : i < seed + unlabelled ? out.unlabelled : out.test).push_back(sorting_prompt(order[i]));
  return out;
}

}  // namespace plumb::methods::cream
