// Pareto fronts: the points that no other beats in all of several measures (less is better).
#pragma once
#include <cstddef>
#include <vector>

namespace plumb::metrics {

/// Places, in order, of the points that no other one is at most as large as in every measure and smaller in one. Equal points stand or fall
/// together; a point with a NaN is never among them. Throws ValueError unless all points have as many measures, at least one.
std::vector<size_t> pareto_set(const std::vector<std::vector<double>>& points);

/// The area, or volume, of what lies between the points and `reference`: of all q with p ≤ q ≤ reference for some point p (Zitzler & Thiele
/// 1999). Exact, of two or three measures; points that are not below the reference count nothing. Throws ValueError for another number.
double hypervolume(const std::vector<std::vector<double>>& points, const std::vector<double>& reference);

}  // namespace plumb::metrics
