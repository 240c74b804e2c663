// Beam search: the likeliest continuations of a prompt, as far as a fixed number of candidates at each length shows them.
#pragma once
#include <functional>
#include <vector>

#include "models/transformer/decoder.h"

namespace plumb::transformer {

struct BeamOptions {
  int64_t beams = 4;          ///< sequences kept at each length
  int64_t max_tokens = 100;   ///< longest continuation
  double length_penalty = 1;  ///< scores are log p / lengthᵖᵉⁿᵃˡᵗʸ: above 0 longer ones are favoured over plain log p, which 0 gives
  int32_t end_token = -1;     ///< a sequence ends with it; −1: only at max_tokens
  std::function<void(int64_t length, int64_t longest)> on_token =
      {};  ///< told the sequences' length after each token, and the longest there can be
};

struct Hypothesis {
  std::vector<int32_t> tokens;  ///< after the prompt, the end token included
  double log_probability = 0;   ///< Σ log p(token | those before)
  double score = 0;             ///< what they are ordered by
};

/// At most `beams` continuations, the best first; equal scores keep the order in which they were found. Stops when no sequence that goes on
/// can beat those that ended, or when the context is full. Throws ValueError for an empty prompt, one that fills the context, or options
/// below 1.
std::vector<Hypothesis> beam_search(const CausalDecoder& model, const std::vector<int32_t>& prompt, const BeamOptions& options);

}  // namespace plumb::transformer
