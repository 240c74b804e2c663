// How two rows of numbers go together: correlations of values and of ranks.
#pragma once
#include <span>
#include <vector>

namespace plumb {

/// Place of each value in ascending order, from 1; equal values share the mean of their places. Throws ValueError for a NaN.
std::vector<double> average_ranks(std::span<const double> values);
/// Place of each value in ascending order, from 1, all different: of equal values the earlier comes first. Throws ValueError for a NaN.
std::vector<double> ordinal_ranks(std::span<const double> values);

/// Σ (a − ā)(b − b̄) / √(Σ (a − ā)² Σ (b − b̄)²); NaN if one of them does not vary. All three throw ValueError if the lengths differ,
/// there are fewer than two pairs or one is NaN.
double pearson_correlation(std::span<const double> a, std::span<const double> b);
/// Spearman's ρ: the correlation of the ranks, ties sharing theirs.
double spearman_correlation(std::span<const double> a, std::span<const double> b);
/// Kendall's τ_b = (agreeing − disagreeing pairs) / √(pairs not tied in a · pairs not tied in b); τ_a without ties. Exact counts by merge
/// sort, O(n log n) (Knight 1966). NaN if one of them does not vary.
double kendall_correlation(std::span<const double> a, std::span<const double> b);

}  // namespace plumb
