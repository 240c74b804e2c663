// Hard mixed examples: what a classifier makes of two classes in one image, neither of them clearly the larger.
#pragma once
#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::methods::decoupled_mixup {

struct HardPairs {
  Tensor x;              ///< [n, ..]: λ x_i + (1 − λ) x_j
  Tensor first, second;  ///< i64 [n], different
};
/// `count` random pairs of examples x [N, ..] of different classes, λ ~ U(low, high), 0 ≤ low ≤ high ≤ 1. Throws ValueError for other
/// shares or if all labels are the same, ShapeError unless labels are i64 [N].
HardPairs hard_pairs(const Tensor& x, const Tensor& labels, int64_t count, Generator& generator, double low = 0.3, double high = 0.7);

/// The share of rows of logits [n, C] whose two largest entries are the pair's two classes. By chance it is 2 / (C (C − 1)).
/// Throws ShapeError for another number of rows, or fewer than two classes.
double both_classes_found(const Tensor& logits, const HardPairs& pairs);

}  // namespace plumb::methods::decoupled_mixup
