// Interpolating pairs of examples, and comparing predictions: what mixup, ICT, MixMatch and Semixup are made of.
#pragma once
#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::methods {

/// max(λ, 1 − λ, least): the first of the two examples counts most, and for at least that share. Throws ValueError unless λ and least lie
/// in [0, 1].
double dominant_share(double lambda, double least = 0);

struct MixOptions {
  double a = 0.75, b = 0.75;  ///< λ ~ Beta(a, b)
  double least = 0.7;         ///< then λ ← max(λ, 1 − λ, least); negative: λ as it was drawn
};
/// One λ for a whole batch. Throws ValueError unless a and b are positive and least ≤ 1.
double sample_mix_coefficient(Generator& generator, const MixOptions& options = {});

/// λ x_i + (1 − λ) x_order(i). x floating [N, ..], order i64 [N]. Throws ValueError unless 0 ≤ λ ≤ 1, ShapeError for an order of another
/// length, IndexError for a place outside.
Tensor mix(const Tensor& x, const Tensor& order, double lambda);

/// λ CE(z, y1) + (1 − λ) CE(z, y2), means over the batch: mixup's loss (Zhang et al., ICLR 2018). logits [N, K], labels i64 [N].
/// Throws ValueError unless 0 ≤ λ ≤ 1, and as cross_entropy.
Tensor mixup_cross_entropy(const Tensor& logits, const Tensor& first, const Tensor& second, double lambda);

// -- a share for each example, through which gradients may flow --

/// Throws ValueError naming the first share outside [0, 1] (or NaN), ShapeError unless shares are a vector of `examples` floating numbers.
void check_shares(const char* op, const Tensor& lambda, int64_t examples);

/// λ_i a_i + (1 − λ_i) b_i: a and b floating [N, ..] of one shape, lambda [N]. Differentiable in all three; λ_i = 1 gives a_i exactly, 0
/// b_i. Throws as check_shares, ShapeError for shapes that differ.
Tensor mix_pairs(const Tensor& a, const Tensor& b, const Tensor& lambda);

/// [N, classes]: λ_i at the label first_i plus 1 − λ_i at second_i, labels i64 [N]. Differentiable in lambda. Throws as check_shares,
/// IndexError for a label outside [0, classes), ShapeError for another number of labels.
Tensor mixed_targets(const Tensor& first, const Tensor& second, const Tensor& lambda, int64_t classes);

/// D(a, b) = 1/(N K) Σ_i ‖softmax(a_i) − softmax(b_i)‖² for logits [N, K]; in [0, 2/K]. Gradients go into both, unless one is detached.
/// Throws ShapeError unless both have the shape [N, K].
Tensor softmax_mse(const Tensor& a, const Tensor& b);

}  // namespace plumb::methods
