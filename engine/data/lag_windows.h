// A series as examples for forecasting: the values before each step, and the values from it on.
#pragma once
#include <cstdint>
#include <vector>

#include "engine/core/tensor.h"

namespace plumb::data {

/// Row r stands for the step t = first[r].
struct LagMatrix {
  Tensor inputs;               ///< [n, p], the newest value first: inputs[r, k] = y[t − 1 − k], so that column k is lag k + 1
  Tensor targets;              ///< [n, h]: targets[r, k] = y[t + k]
  std::vector<int64_t> first;  ///< t, counted from 0
  int64_t rows() const { return static_cast<int64_t>(first.size()); }
};

/// All n = N − p − h + 1 windows of a series [N] (f32 or f64, as is the result), in order of time. Throws ShapeError for another shape,
/// ValueError for p or h below 1, N < p + h, or a value that is not finite.
LagMatrix make_lag_matrix(const Tensor& series, int64_t p, int64_t h = 1);

/// The windows without a missing (NaN) value whose targets all lie in [from, to); their inputs may lie before. to = −1: N. Throws as above
/// (a NaN is no error, infinity is one), and ValueError for bounds outside [0, N]. There may be no such window.
LagMatrix complete_lag_matrix(const Tensor& series, int64_t p, int64_t h = 1, int64_t from = 0, int64_t to = -1);

/// The series [N] with the gaps (runs of NaN) of at most `longest` steps between two values filled by the straight line between those.
/// Longer gaps, and those at the ends, stay. Throws ShapeError or DTypeError as above, ValueError for longest < 0.
Tensor fill_gaps(const Tensor& series, int64_t longest);

/// What brings a series to mean 0 and standard deviation 1.
struct SeriesScaling {
  double mean = 0, deviation = 1;
};
/// Over the values before `end` (−1: all) that are not missing; the deviation of a constant series is 1. Throws ValueError where all are
/// missing.
SeriesScaling series_scaling(const Tensor& series, int64_t end = -1);
/// (series − mean) / deviation; what is missing stays so.
Tensor scale_series(const Tensor& series, const SeriesScaling& scaling);

}  // namespace plumb::data
