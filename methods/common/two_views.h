// Losses of two augmented views of the same examples, stacked: rows 0 … B − 1 are first views, rows B … 2B − 1 second views in the same
// order. All throw ShapeError unless the rows are a matrix with an even number of them.
#pragma once
#include "engine/core/tensor.h"

namespace plumb::methods {

/// ½ (CE(q¹, p²) + CE(q², p¹)) with p = softmax(z / student), q = softmax(z / teacher) of the same logits, detached: logits [2B, K]. Each
/// view learns from what the network itself says of the other (SimGCD; Wen et al., ICCV 2023). Throws ValueError unless both temperatures
/// are positive.
Tensor self_distillation(const Tensor& logits, double student, double teacher);

/// InfoNCE over both views (SimCLR; Chen et al., ICML 2020): rows of length 1, row i's truth is its other view among all rows j ≠ i, with
/// logits ⟨u_i, u_j⟩ / temperature; the mean over 2B rows. Throws ValueError unless temperature > 0.
Tensor two_view_info_nce(const Tensor& rows, double temperature);

/// The rows with each half's place taken by the other: what belongs to row i of the other view.
Tensor other_views(const Tensor& rows);

}  // namespace plumb::methods
