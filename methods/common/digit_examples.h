// Handwritten digits as rows of 64 numbers, and a perceptron that has learned some of them: what experiments of fine-tuning begin with.
#pragma once
#include <vector>

#include "models/mlp/mlp.h"

namespace plumb::methods {

struct DigitExamples {
  Tensor x, label;  ///< f32 [n, 64] in [0, 1], i64 [n]
  int64_t size() const { return label.numel(); }
  DigitExamples at(const std::vector<int64_t>& places) const;
  DigitExamples first(int64_t n) const;
};

/// All 1,797 that are carried inside.
DigitExamples digit_examples();

/// AdamW at 1e-3 without decay on the cross-entropy, in batches of 64: every epoch all examples in a new order, drawn from the default
/// generator. The last batch of an epoch is what is left.
void train_on_digits(const mlp::Mlp& network, const DigitExamples& examples, int64_t epochs);

}  // namespace plumb::methods
