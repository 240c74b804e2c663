// Rows on their way to groups and back, as those of tokens to experts: N rows go to k places each, and what comes back from there is added
// up. `place`, i64 [N, k], says where: copy j of row n is row place[n, j] among those of all groups, `rows` in all; −1 is nowhere. Each of
// them is the place of exactly one copy, so nothing is sorted or searched on the way back. The three products of rows are each other's
// derivatives; any of them may have 16-bit rows on one side and f32 on the other, and adds up in f32. All throw ShapeError for shapes that
// do not fit, DTypeError for types, IndexError for places that are not each one's own; on a GPU, where looking would mean waiting, the
// result is then undefined.
#pragma once
#include <optional>

#include "engine/core/tensor.h"

namespace plumb {

/// Labels in order of group, as they come within one.
struct Grouping {
  Tensor order;    ///< [n] the place of each among the labels
  Tensor place;    ///< [n] the other way round: label i is the place[i]-th in order
  Tensor offsets;  ///< [groups + 1] those of group g are number offsets[g] … offsets[g + 1] in order
};
/// label i64 [n], each in [0, groups); all results are i64. Throws IndexError for a label outside.
Grouping group_by(const Tensor& label, int64_t groups);

/// y_p = w_p x_n for each place p of row n: x [N, n], weight [rows] or undefined (1) → [rows, n] of `type`, x's unless given.
Tensor spread_rows(const Tensor& x, const Tensor& place, int64_t rows, const Tensor& weight = {}, std::optional<DType> type = {});
/// y_n = Σ w_p x_p over the places p of row n, in their order: x [rows, n], weight [rows] or undefined (1) → [N, n] of `type`, unless given
/// what x and the weight promote to.
Tensor join_rows(const Tensor& x, const Tensor& place, const Tensor& weight = {}, std::optional<DType> type = {});
/// d_p = ⟨x_n, y_p⟩ for each place p of row n: x [N, n], y [rows, n] → [rows] in f32 (f64 for f64).
Tensor row_dots(const Tensor& x, const Tensor& y, const Tensor& place);

}  // namespace plumb
