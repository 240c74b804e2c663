// When a class begins to be memorised: the training IoU of its prediction with the noisy label rises fast at first, then slowly; the onset
// is where the slope of a saturating curve through it has lost most of its first value (ADELE, Liu et al., CVPR 2022, section 3.2).
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

namespace plumb::methods::adele {

/// f(x) = a (1 − exp(−x^b / c)).
struct Saturation {
  double a = 1, b = 1, c = 1;
  double operator()(double x) const;
  /// f'(x) = (a b / c) exp(−x^b / c) x^(b − 1); x > 0.
  double slope(double x) const;
};

/// The a and b in [0, 1] and c > 0 that minimise Σ_j ((f(x_j) − y_j) / σ_j)², x ≥ 0: the best of a grid over b and c, for each of which the
/// best a is known, then Levenberg–Marquardt within the bounds. Throws ValueError for fewer than 3 points, lengths that differ, a σ that is
/// not above 0, a negative x, or anything that is not finite.
Saturation fit_saturation(const std::vector<double>& x, const std::vector<double>& y, const std::vector<double>& sigma);
/// The fit of ADELE: n values at n places from 0 to n, evenly spaced with both ends, σ falling geometrically from 1 to 0.1.
Saturation fit_training_iou(const std::vector<double>& iou);

/// How many leading entries are dropped: all before the first rise by at least `jump`.
int64_t leading_flat(const std::vector<double>& iou, double jump = 0.1);
/// R(t) = |f'(t) − f'(1)| / |f'(1)| for t = 1 … count, slopes taken at t + 10⁻⁶; values above 1 count as 0. Empty if f'(1) is 0 by
/// underflow.
std::vector<double> slope_loss(const Saturation& fit, int64_t count);

/// The entry of the history, counted from 1, at which a class begins to be memorised: dropped + 1 + #{t < entries : R(t) ≤ r}, fitted to
/// the history without its flat beginning. `entries`: how many the history will have after all of training. Nothing where fewer than 3
/// entries are left: not yet. Throws ValueError unless 0 < r < 1 and entries ≥ 2, or for an IoU outside [0, 1] (NaN included).
std::optional<int64_t> memorization_epoch(const std::vector<double>& history, double r, int64_t entries);

}  // namespace plumb::methods::adele
