// Dominance by comparing all pairs, and volumes by a sweep.
#include "models/metrics/pareto.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "engine/core/error.h"

namespace plumb::metrics {
namespace {

using Point = std::vector<double>;

void check(const char* op, const std::vector<Point>& points, size_t measures) {
  for (const Point& p : points)
    if (p.size() != measures || measures == 0)
      throw ValueError(std::string(op) + ": a point has " + std::to_string(p.size()) + " measures, not " + std::to_string(measures));
}

bool has_nan(const Point& p) {
  return std::ranges::any_of(p, [](double v) { return std::isnan(v); });
}

bool dominates(const Point& a, const Point& b) {
  bool smaller = false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!(a[i] <= b[i])) return false;
    smaller = smaller || a[i] < b[i];
  }
  return smaller;
}

// Of points in ascending order of the first measure: each adds a strip down from the best second measure so far.
double area(std::vector<Point> points, const Point& reference) {
  std::ranges::sort(points);
  double total = 0, best = reference[1];
  for (const Point& p : points)
    if (p[1] < best) total += (reference[0] - p[0]) * (best - p[1]), best = p[1];
  return total;
}

}  // namespace

std::vector<size_t> pareto_set(const std::vector<Point>& points) {
  if (points.empty()) return {};
  check("pareto_set", points, points[0].size());
  std::vector<size_t> kept;
  for (size_t i = 0; i < points.size(); ++i)
    if (!has_nan(points[i]) && std::ranges::none_of(points, [&](const Point& p) { return dominates(p, points[i]); })) kept.push_back(i);
  return kept;
}

double hypervolume(const std::vector<Point>& points, const Point& reference) {
  if (reference.size() != 2 && reference.size() != 3)
    throw ValueError("hypervolume: takes two or three measures, not " + std::to_string(reference.size()));
  check("hypervolume", points, reference.size());
  std::vector<Point> inside;
  for (const Point& p : points) {
    bool below = true;
    for (size_t i = 0; i < p.size(); ++i) below = below && p[i] < reference[i];
    if (below) inside.push_back(p);
  }
  if (reference.size() == 2) return area(inside, reference);
  // Slices between one value of the third measure and the next: the points at or below one make its area.
  std::ranges::sort(inside, {}, [](const Point& p) { return p[2]; });
  double total = 0;
  std::vector<Point> slice;
  for (size_t i = 0; i < inside.size(); ++i) {
    slice.push_back({inside[i][0], inside[i][1]});
    double next = i + 1 < inside.size() ? inside[i + 1][2] : reference[2];
    if (next > inside[i][2]) total += (next - inside[i][2]) * area(slice, reference);
  }
  return total;
}

}  // namespace plumb::metrics
