// The straight line through points, and the power law through positive ones: how a cost grows.
#pragma once
#include <span>

namespace plumb {

/// y ≈ intercept + slope · x.
struct LineFit {
  double slope = 0, intercept = 0;
  double slope_error = 0;  ///< standard error of the slope, √(Σ e² / (n − 2) / Σ (x − x̄)²); NaN for two points
  double r2 = 0;           ///< 1 − Σ e² / Σ (y − ȳ)²; NaN where y does not vary
};

/// The line of least squares. Throws ValueError for different lengths, fewer than two points, a number that is not finite, or equal x.
LineFit line_fit(std::span<const double> x, std::span<const double> y);
/// line_fit of log y over log x: y ≈ e^intercept · x^slope, the slope being the exponent of the law. Throws ValueError for numbers ≤ 0 too.
LineFit power_law_fit(std::span<const double> x, std::span<const double> y);

}  // namespace plumb
