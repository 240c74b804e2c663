// Batches of answers and their log-probabilities.
#include "models/preference/answers.h"

#include <string>

#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::preference {

AnswerBatch answer_batch(const std::vector<Answer>& answers, int32_t padding, Device device) {
  if (answers.empty()) throw ValueError("answer_batch: there are no answers");
  size_t longest = 0;
  for (size_t i = 0; i < answers.size(); ++i) {
    if (answers[i].prompt.empty()) throw ValueError("answer_batch: the prompt of answer " + std::to_string(i) + " has no tokens");
    if (answers[i].text.empty()) throw ValueError("answer_batch: answer " + std::to_string(i) + " has no tokens");
    longest = std::max(longest, answers[i].prompt.size() + answers[i].text.size() - 1);
  }
  size_t count = answers.size();
  std::vector<int64_t> tokens(count * longest, padding), target(count * longest, padding);
  std::vector<uint8_t> counts(count * longest, 0);
  for (size_t i = 0; i < count; ++i) {
    const Tokens &prompt = answers[i].prompt, &text = answers[i].text;
    auto token = [&](size_t t) { return t < prompt.size() ? prompt[t] : text[t - prompt.size()]; };
    for (size_t t = 0; t + 1 < prompt.size() + text.size(); ++t) {
      tokens[i * longest + t] = token(t);
      target[i * longest + t] = token(t + 1);
      counts[i * longest + t] = t + 1 >= prompt.size();
    }
  }
  Shape shape{static_cast<int64_t>(count), static_cast<int64_t>(longest)};
  auto placed = [&](const Tensor& x) { return to(x, device); };
  return {placed(from_vector(tokens, shape)), placed(from_vector(target, shape)), placed(from_vector(counts, shape) != 0)};
}

Tensor sequence_log_prob(const Tensor& logits, const Tensor& target, const Tensor& mask, bool mean) {
  if (logits.rank() != 3) throw ShapeError("sequence_log_prob: takes logits [B, T, V], got " + to_string(logits.shape()));
  Shape tokens = logits.shape().slice(0, 2);
  if (target.shape() != tokens || mask.shape() != tokens)
    throw ShapeError("sequence_log_prob: logits " + to_string(logits.shape()) + " go with a target and a mask " + to_string(tokens) +
                     ", got " + to_string(target.shape()) + " and " + to_string(mask.shape()));
  if (mask.dtype() != DType::boolean)
    throw DTypeError("sequence_log_prob: the mask must be bool, it is " + std::string(name(mask.dtype())));
  Tensor length = sum(to(mask, i64), {1});
  std::vector<int64_t> lengths = to_vector<int64_t>(length);
  for (size_t i = 0; i < lengths.size(); ++i)
    if (lengths[i] == 0) throw ValueError("sequence_log_prob: the answer of row " + std::to_string(i) + " has no tokens");
  Tensor log_p = log_softmax(logits.dtype() == f64 ? logits : to(logits, f32), -1);
  Tensor place = where(mask, to(target, i64), 0);
  Tensor values = squeeze(gather(log_p, 2, unsqueeze(place, 2)), 2);
  Tensor total = sum(where(mask, values, 0.0), {1});
  return mean ? total / to(length, total.dtype()) : total;
}

}  // namespace plumb::preference
