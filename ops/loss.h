// Losses. Every one has a reduction: none keeps one value an example, mean divides their sum by their number, sum does not.
// Inputs of 16-bit types are taken as f32, and so is the loss.
#pragma once
#include <cstdint>

#include "engine/core/tensor.h"

namespace plumb {

enum class Reduction { none, mean, sum };

struct CrossEntropyOptions {
  Tensor weight;                ///< one number a class, by which its examples count; undefined: 1
  int64_t ignore_index = -100;  ///< examples with this target count nothing
  double label_smoothing = 0;   ///< ε in [0, 1]: targets become (1 − ε) target + ε / classes
  Reduction reduction = Reduction::mean;
};
/// −Σ_c q_c w_c log softmax(logits)_c over the last dimension. logits [.., C]; target either class numbers (i64, i32) of shape [..], then q is
/// one-hot, or probabilities [.., C] (floating), which may need a gradient too. The mean over class numbers divides by Σ w_target
/// (0 if everything is ignored), over probabilities by the number of rows. Probabilities are never stored for class numbers.
/// Throws IndexError naming a target outside [0, C), ShapeError if shapes do not fit, ValueError for ε outside [0, 1].
Tensor cross_entropy(const Tensor& logits, const Tensor& target, const CrossEntropyOptions& options = {});

}  // namespace plumb
