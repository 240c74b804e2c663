// Generation: tokens drawn one after the other from a language model.
#pragma once
#include <functional>
#include <vector>

#include "engine/core/generator.h"
#include "models/transformer/decoder.h"

namespace plumb::transformer {

struct SamplingOptions {
  double temperature = 1;  ///< logits are divided by it; 0 takes the most likely token
  int64_t top_k = 0;       ///< only the k most likely tokens; 0: all
  double top_p = 1;        ///< only the most likely tokens that together reach this probability (Holtzman et al. 2020)
  int32_t end_token = -1;  ///< generation ends with this token; −1: never early
  /// Throws ValueError naming the option that is out of range.
  void check() const;
};

/// A token drawn from logits (one row, unnormalised). The draw takes one number from `generator`.
int32_t sample_token(const std::vector<double>& logits, const SamplingOptions& options, Generator& generator);

/// `count` tokens after `prompt` (at least one token), each handed to `emit` as it is drawn, fewer if the end token is. When the context is
/// full, generation goes on from its last half. Throws ValueError for an empty prompt or options out of range.
void generate(const CausalDecoder& model, const std::vector<int32_t>& prompt, int64_t count, const SamplingOptions& options,
              Generator& generator, const std::function<void(int32_t)>& emit);

}  // namespace plumb::transformer
