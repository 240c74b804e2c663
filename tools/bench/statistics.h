// What repeated measurements say, and how sure.
#pragma once
#include <span>
#include <vector>

namespace plumb::tools {

/// A positive quantity from several rounds: the geometric mean, and its 95 % interval by Student's t on the logarithms. Times on a machine
/// that others use err by factors, not by sums.
struct Estimate {
  double value = 0, low = 0, high = 0;  ///< of a single round all are its value
};

double median(std::vector<double> values);
Estimate estimate(std::span<const double> rounds);
/// Of a_i / b_i, which were measured one after the other, so that what slows both cancels.
Estimate ratio(std::span<const double> a, std::span<const double> b);

/// The slope of log y over log x by least squares: p where y ∝ x^p.
double exponent(std::span<const double> x, std::span<const double> y);

}  // namespace plumb::tools
