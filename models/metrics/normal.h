// The standard normal distribution of single numbers, in f64.
#pragma once

namespace plumb {

/// P(Z ≤ z), also far in the tails.
double normal_cdf(double z);
/// The z with P(Z ≤ z) = p, to rounding. Throws ValueError unless 0 < p < 1.
double normal_quantile(double p);

}  // namespace plumb
