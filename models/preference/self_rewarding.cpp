// Several answers to each prompt, and their scores put in order.
#include "models/preference/self_rewarding.h"

#include <fmt/format.h>

namespace plumb::preference {

std::vector<std::vector<Tokens>> several_answers(const transformer::CausalDecoder& model, const std::vector<Tokens>& prompts,
                                                 int64_t answers, const AnswerOptions& options, Generator& generator) {
  if (answers < 2) throw ValueError(fmt::format("preference: a pair is chosen among at least 2 answers, got {}", answers));
  auto each = static_cast<size_t>(answers);
  std::vector<Tokens> repeated;
  for (const Tokens& prompt : prompts) repeated.insert(repeated.end(), each, prompt);
  std::vector<Tokens> drawn = sample_answers(model, repeated, options, generator);
  std::vector<std::vector<Tokens>> out;
  for (size_t i = 0; i < prompts.size(); ++i) {
    auto first = drawn.begin() + static_cast<int64_t>(i * each);
    out.emplace_back(first, first + answers);
  }
  return out;
}

std::vector<std::vector<double>> by_prompt(const std::vector<double>& scores, int64_t answers) {
  std::vector<std::vector<double>> out;
  for (auto first = scores.begin(); first != scores.end(); first += answers) out.emplace_back(first, first + answers);
  return out;
}

std::vector<double> differences(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.size() != b.size()) throw ValueError(fmt::format("preference: {} scores against {}", a.size(), b.size()));
  std::vector<double> out(a.size());
  for (size_t i = 0; i < a.size(); ++i) out[i] = a[i] - b[i];
  return out;
}

}  // namespace plumb::preference
