// Answers drawn from a language model to many prompts at once.
#pragma once
#include "models/preference/answers.h"
#include "models/transformer/generate.h"

namespace plumb::preference {

struct AnswerOptions {
  transformer::SamplingOptions sampling;  ///< temperature 0 is greedy; an answer ends with the end token, which belongs to it
  int64_t longest = 768;                  ///< tokens of an answer
  size_t batch = 512;                     ///< prompts computed at once
};

/// One answer to each prompt. Prompts of one length run together, each draw takes one number from `generator`, by prompt within a token's
/// place. Throws ValueError for an empty prompt, one that leaves no room for the longest answer in the model's context, or options out of
/// range.
std::vector<Tokens> sample_answers(const transformer::CausalDecoder& model, const std::vector<Tokens>& prompts,
                                   const AnswerOptions& options, Generator& generator);

}  // namespace plumb::preference
