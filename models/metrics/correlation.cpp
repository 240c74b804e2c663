// Correlations of values and of ranks.
#include "models/metrics/correlation.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>

#include "engine/core/error.h"

namespace plumb {
namespace {

void check_numbers(const char* op, std::span<const double> values) {
  for (size_t i = 0; i < values.size(); ++i)
    if (std::isnan(values[i])) throw ValueError(std::string(op) + ": value " + std::to_string(i) + " is NaN");
}

void check_pairs(const char* op, std::span<const double> a, std::span<const double> b) {
  if (a.size() != b.size())
    throw ValueError(std::string(op) + ": " + std::to_string(a.size()) + " values beside " + std::to_string(b.size()) +
                     "; they must be pairs");
  if (a.size() < 2) throw ValueError(std::string(op) + ": needs at least 2 pairs, got " + std::to_string(a.size()));
  check_numbers(op, a);
  check_numbers(op, b);
}

std::vector<size_t> ascending(std::span<const double> values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](size_t x, size_t y) { return values[x] < values[y]; });
  return order;
}

double pairs_among(double n) { return n * (n - 1) / 2; }

// Pairs of equal neighbours in runs: Σ over runs of n (n − 1) / 2.
template <typename Equal>
double tied_pairs(size_t n, Equal&& equal) {
  double total = 0;
  for (size_t from = 0, to = 0; from < n; from = to) {
    while (to < n && equal(from, to)) ++to;
    total += pairs_among(static_cast<double>(to - from));
  }
  return total;
}

// Sorts v and returns how many pairs stood in the wrong order.
double inversions(std::vector<double>& v, std::vector<double>& room, size_t from, size_t to) {
  if (to - from < 2) return 0;
  size_t middle = (from + to) / 2;
  double count = inversions(v, room, from, middle) + inversions(v, room, middle, to);
  for (size_t left = from, right = middle, at = from; at < to; ++at) {
    bool take_right = left == middle || (right < to && v[right] < v[left]);
    if (take_right) count += static_cast<double>(middle - left);
    room[at] = take_right ? v[right++] : v[left++];
  }
  std::copy(room.begin() + static_cast<std::ptrdiff_t>(from), room.begin() + static_cast<std::ptrdiff_t>(to),
            v.begin() + static_cast<std::ptrdiff_t>(from));
  return count;
}

}  // namespace

std::vector<double> average_ranks(std::span<const double> values) {
  check_numbers("average_ranks", values);
  std::vector<size_t> order = ascending(values);
  std::vector<double> ranks(values.size());
  for (size_t from = 0, to = 0; from < order.size(); from = to) {
    while (to < order.size() && values[order[to]] == values[order[from]]) ++to;
    for (size_t i = from; i < to; ++i) ranks[order[i]] = 0.5 * static_cast<double>(from + 1 + to);
  }
  return ranks;
}

std::vector<double> ordinal_ranks(std::span<const double> values) {
  check_numbers("ordinal_ranks", values);
  std::vector<size_t> order = ascending(values);
  std::vector<double> ranks(values.size());
  for (size_t i = 0; i < order.size(); ++i) ranks[order[i]] = static_cast<double>(i + 1);
  return ranks;
}

double pearson_correlation(std::span<const double> a, std::span<const double> b) {
  check_pairs("pearson_correlation", a, b);
  double n = static_cast<double>(a.size()), mean_a = 0, mean_b = 0, aa = 0, bb = 0, ab = 0;
  for (size_t i = 0; i < a.size(); ++i) mean_a += a[i] / n, mean_b += b[i] / n;
  for (size_t i = 0; i < a.size(); ++i) {
    double x = a[i] - mean_a, y = b[i] - mean_b;
    aa += x * x, bb += y * y, ab += x * y;
  }
  auto constant = [](std::span<const double> v) { return std::ranges::all_of(v, [&](double x) { return x == v[0]; }); };
  if (aa == 0 || bb == 0 || constant(a) || constant(b)) return std::numeric_limits<double>::quiet_NaN();  // the means are rounded
  return std::clamp(ab / (std::sqrt(aa) * std::sqrt(bb)), -1.0, 1.0);
}

double spearman_correlation(std::span<const double> a, std::span<const double> b) {
  check_pairs("spearman_correlation", a, b);
  return pearson_correlation(average_ranks(a), average_ranks(b));
}

double kendall_correlation(std::span<const double> a, std::span<const double> b) {
  check_pairs("kendall_correlation", a, b);
  size_t n = a.size();
  std::vector<size_t> order(n);
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](size_t x, size_t y) { return a[x] != a[y] ? a[x] < a[y] : b[x] < b[y]; });
  double tied_a = tied_pairs(n, [&](size_t i, size_t j) { return a[order[i]] == a[order[j]]; });
  double tied_both = tied_pairs(n, [&](size_t i, size_t j) { return a[order[i]] == a[order[j]] && b[order[i]] == b[order[j]]; });
  std::vector<double> v, room(n);
  for (size_t i : order) v.push_back(b[i]);
  double disagreeing = inversions(v, room, 0, n);  // pairs tied in a stand in b's order, pairs tied in b are none
  double tied_b = tied_pairs(n, [&](size_t i, size_t j) { return v[i] == v[j]; });
  double all = pairs_among(static_cast<double>(n)), agreeing = all - tied_a - tied_b + tied_both - disagreeing;
  if (tied_a == all || tied_b == all) return std::numeric_limits<double>::quiet_NaN();
  return (agreeing - disagreeing) / std::sqrt((all - tied_a) * (all - tied_b));
}

}  // namespace plumb
