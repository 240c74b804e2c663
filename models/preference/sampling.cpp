// Batched generation with one cache for prompts of one length.
#include "models/preference/sampling.h"

#include <fmt/format.h>

#include <map>

#include "ops/shape.h"

namespace plumb::preference {
namespace {

void check(const transformer::CausalDecoder& model, const std::vector<Tokens>& prompts, const AnswerOptions& o) {
  o.sampling.check();
  if (o.longest < 1) throw ValueError(fmt::format("sample_answers: the longest answer must have at least 1 token, it has {}", o.longest));
  if (o.batch < 1) throw ValueError("sample_answers: a batch must have at least 1 prompt");
  for (size_t i = 0; i < prompts.size(); ++i) {
    if (prompts[i].empty()) throw ValueError(fmt::format("sample_answers: prompt {} has no tokens", i));
    auto all = static_cast<int64_t>(prompts[i].size()) + o.longest - 1;  // the last token is never read
    if (all > model.context())
      throw ValueError(fmt::format("sample_answers: prompt {} has {} tokens; with an answer of {} it does not fit a context of {}", i,
                                   prompts[i].size(), o.longest, model.context()));
  }
}

// Answers to prompts of one length, which stand at `places` of `out`.
void answer_together(const transformer::CausalDecoder& model, const std::vector<Tokens>& prompts, const std::vector<size_t>& places,
                     const AnswerOptions& o, Generator& generator, std::vector<Tokens>& out) {
  size_t rows = places.size();
  auto count = static_cast<int64_t>(rows);
  transformer::KeyValueCache cache = model.make_cache(count);
  std::vector<int64_t> input;
  for (size_t i : places) input.insert(input.end(), prompts[i].begin(), prompts[i].end());
  std::vector<char> ended(rows, 0);
  for (int64_t t = 0; t < o.longest; ++t) {
    Tensor tokens = to(from_vector(input, {count, static_cast<int64_t>(input.size() / rows)}), cache.device());
    std::vector<double> logits = to_vector(model.next(tokens, cache));
    auto vocab = static_cast<int64_t>(logits.size() / rows);
    input.assign(rows, 0);
    size_t open = 0;
    for (size_t r = 0; r < rows; ++r) {
      if (ended[r]) continue;
      auto row = logits.begin() + static_cast<int64_t>(r) * vocab;
      int32_t token = transformer::sample_token({row, row + vocab}, o.sampling, generator);
      out[places[r]].push_back(token);
      input[r] = token;
      ended[r] = token == o.sampling.end_token;
      open += !ended[r];
    }
    if (open == 0) return;
  }
}

}  // namespace

std::vector<Tokens> sample_answers(const transformer::CausalDecoder& model, const std::vector<Tokens>& prompts, const AnswerOptions& o,
                                   Generator& generator) {
  check(model, prompts, o);
  NoGrad no_grad;
  std::map<size_t, std::vector<size_t>> by_length;
  for (size_t i = 0; i < prompts.size(); ++i) by_length[prompts[i].size()].push_back(i);
  std::vector<Tokens> out(prompts.size());
  for (const auto& [length, places] : by_length)
    for (size_t from = 0; from < places.size(); from += o.batch) {
      auto first = places.begin() + static_cast<int64_t>(from);
      answer_together(model, prompts, {first, first + static_cast<int64_t>(std::min(o.batch, places.size() - from))}, o, generator, out);
    }
  return out;
}

}  // namespace plumb::preference
