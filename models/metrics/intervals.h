// Means with their uncertainty: what a table of results over seeds states.
#pragma once
#include <span>

namespace plumb {

/// mean ± half_width; half_width is NaN where one value cannot tell it.
struct Interval {
  double mean = 0, half_width = 0;
  double low() const { return mean - half_width; }
  double high() const { return mean + half_width; }
};

/// P(T ≤ t) of Student's distribution with `degrees` > 0 degrees of freedom: the regularised incomplete beta function, to about 1e-14.
double student_t_cdf(double t, double degrees);
/// The t with P(T ≤ t) = p, 0 < p < 1. Throws ValueError for p or degrees outside their ranges.
double student_t_quantile(double p, double degrees);

/// x̄ ± t_{(1 + level) / 2, n − 1} · s / √n, with s² = Σ (x − x̄)² / (n − 1). Throws ValueError for no values or a level outside (0, 1).
Interval t_interval(std::span<const double> values, double level = 0.95);
/// The interval of a_i − b_i: the difference of two variants measured on the same seeds. Throws ValueError if their numbers differ.
Interval paired_difference(std::span<const double> a, std::span<const double> b, double level = 0.95);

}  // namespace plumb
