// Answers to prompts as token sequences: batches of them, and how likely a language model finds them.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "engine/autograd/grad_mode.h"
#include "engine/core/tensor.h"
#include "models/nn/modes.h"

namespace plumb::preference {

using Tokens = std::vector<int32_t>;

struct Answer {
  Tokens prompt, text;
};

/// What a causal language model reads and is to predict: tokens and target [B, T], i64, the target one token further on. mask [B, T], bool,
/// is true where the target belongs to the answer: told by position, so that an end token that also serves as padding still counts.
struct AnswerBatch {
  Tensor tokens, target, mask;
};
/// Rows are filled up with `padding` to the longest. Throws ValueError for no answers, or an empty prompt or answer, naming which.
AnswerBatch answer_batch(const std::vector<Answer>& answers, int32_t padding = 0, Device device = {});

/// Σ_t log p(target_t) over the tokens that the mask (bool [B, T]) lets count, of each row: [B]; `mean`: divided by their number. logits
/// [B, T, V], 16-bit types are taken as f32; what stands at other places changes nothing. Throws ShapeError for other shapes, DTypeError
/// for a mask that is not bool, ValueError naming the row for one without any token.
Tensor sequence_log_prob(const Tensor& logits, const Tensor& target, const Tensor& mask, bool mean = false);

/// Puts a module into evaluation mode for its own lifetime, and back after.
template <typename Module>
class Evaluating {
 public:
  explicit Evaluating(Module& module) : modes_(module) { module.eval(); }

 private:
  nn::Modes modes_;
};

/// sequence_log_prob of every answer under `model` (tokens [B, T] → logits [B, T, V]), `batch` at once, in evaluation mode and outside the
/// graph: what a reference or a judge says.
template <typename Model>
std::vector<double> log_probs(Model& model, const std::vector<Answer>& answers, bool mean = false, size_t batch = 256) {
  NoGrad no_grad;
  Evaluating<Model> evaluating(model);
  Device device = model.parameters().front().device();
  std::vector<double> out;
  for (size_t from = 0; from < answers.size(); from += batch) {
    auto first = answers.begin() + static_cast<int64_t>(from);
    AnswerBatch part = answer_batch({first, first + static_cast<int64_t>(std::min(batch, answers.size() - from))}, 0, device);
    std::vector<double> values = to_vector(sequence_log_prob(model(part.tokens), part.target, part.mask, mean));
    out.insert(out.end(), values.begin(), values.end());
  }
  return out;
}

}  // namespace plumb::preference
