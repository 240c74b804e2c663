// Inverse participation ratio of a spectrum, how many frequencies a vector is made of: periodic weights have one, weights that memorise
// have all.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "engine/core/tensor.h"

namespace plumb {

/// The inverse participation ratio of a's spectrum: with F_k = |rfft(a)_k|, k = 0 … ⌊n/2⌋ (the mean, k = 0, included),
///   IPR = Σ_k (F_k / ‖F‖₂)^(2r),
/// from 1/(⌊n/2⌋ + 1) for a flat spectrum (r = 2) to 1 for a single frequency. Throws ValueError for r < 1, no numbers, a vector of zeros
/// (which has no spectrum to speak of) or one that is not finite.
double inverse_participation_ratio(std::span<const double> a, int r = 2);

/// That of every row of [rows, n], computed in f64; NaN for a row of zeros. Throws ShapeError unless rows are a matrix with columns,
/// ValueError for r < 1 or a row that is not finite.
std::vector<double> inverse_participation_ratios(const Tensor& rows, int r = 2);

}  // namespace plumb
