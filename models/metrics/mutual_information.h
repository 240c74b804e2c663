// How much one column of categories tells about another.
#pragma once
#include <cstdint>
#include <vector>

namespace plumb::metrics {

// Columns are numbers of categories, one a row; a row counts as often as its weight says (empty: once). 0 · log 0 = 0. In nats. All throw
// ShapeError for lengths that differ, ValueError for no rows, a weight that is negative or not finite, or none above 0.

/// −Σ_a p(a) log p(a).
double entropy(const std::vector<int64_t>& a, const std::vector<double>& weights = {});
/// Σ_{a,b} p(a, b) log[p(a, b) / (p(a) p(b))] from counts, ≥ 0: the plug-in estimate, which lies too high where categories are many and
/// rows few.
double mutual_information(const std::vector<int64_t>& a, const std::vector<int64_t>& b, const std::vector<double>& weights = {});

}  // namespace plumb::metrics
