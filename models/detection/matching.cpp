// Assignments, on the host in f64: costs are small matrices.
#include "models/detection/matching.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

namespace plumb::detection {
namespace {

struct Costs {
  size_t rows, columns;
  std::vector<double> v;
  double operator()(size_t r, size_t c) const { return v[r * columns + c]; }
};

Costs read(const char* op, const Tensor& cost) {
  if (cost.rank() != 2) throw ShapeError(std::string(op) + ": takes a matrix of costs, got " + to_string(cost.shape()));
  Costs costs{static_cast<size_t>(cost.size(0)), static_cast<size_t>(cost.size(1)), to_vector(cost)};
  for (size_t i = 0; i < costs.v.size(); ++i)
    if (!std::isfinite(costs.v[i]))
      throw ValueError(std::string(op) + ": the cost of (" + std::to_string(i / costs.columns) + ", " + std::to_string(i % costs.columns) +
                       ") is not finite");
  return costs;
}

int64_t takers(const Costs& iou, size_t object, int64_t top) {
  std::vector<double> column;
  for (size_t r = 0; r < iou.rows; ++r) column.push_back(iou(r, object));
  std::sort(column.begin(), column.end(), std::greater<>());
  auto end = column.begin() + std::min<int64_t>(top, static_cast<int64_t>(column.size()));
  auto k = static_cast<int64_t>(std::floor(std::accumulate(column.begin(), end, 0.0)));
  return std::clamp<int64_t>(k, 1, static_cast<int64_t>(iou.rows));
}

std::vector<size_t> cheapest_first(const Costs& cost, size_t object) {
  std::vector<size_t> order(cost.rows);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return cost(a, object) < cost(b, object); });
  return order;
}

// The first free one, else the first whose object has others: with as many predictions as objects there is one.
size_t spare_prediction(const std::vector<size_t>& order, const std::vector<int64_t>& object_of, const std::vector<int64_t>& taken) {
  for (size_t p : order)
    if (object_of[p] < 0) return p;
  for (size_t p : order)
    if (taken[static_cast<size_t>(object_of[p])] > 1) return p;
  return order.front();
}

}  // namespace

Pairs dynamic_k_assignment(const Tensor& cost, const Tensor& iou, int64_t top) {
  if (cost.shape() != iou.shape())
    throw ShapeError("dynamic_k_assignment: cost " + to_string(cost.shape()) + " and iou " + to_string(iou.shape()) + " differ");
  Costs costs = read("dynamic_k_assignment", cost), ious = read("dynamic_k_assignment", iou);
  if (costs.rows < costs.columns)
    throw ValueError("dynamic_k_assignment: " + std::to_string(costs.rows) + " predictions are fewer than " +
                     std::to_string(costs.columns) + " objects");
  std::vector<int64_t> object_of(costs.rows, -1), taken(costs.columns);
  for (size_t g = 0; g < costs.columns; ++g) {
    std::vector<size_t> order = cheapest_first(costs, g);
    order.resize(static_cast<size_t>(takers(ious, g, top)));
    for (size_t p : order)
      if (object_of[p] < 0 || costs(p, g) < costs(p, static_cast<size_t>(object_of[p]))) object_of[p] = static_cast<int64_t>(g);
  }
  for (int64_t g : object_of)
    if (g >= 0) ++taken[static_cast<size_t>(g)];
  for (size_t g = 0; g < costs.columns; ++g) {
    if (taken[g] > 0) continue;
    size_t p = spare_prediction(cheapest_first(costs, g), object_of, taken);
    if (object_of[p] >= 0) --taken[static_cast<size_t>(object_of[p])];
    object_of[p] = static_cast<int64_t>(g);
    ++taken[g];
  }
  Pairs pairs;
  for (size_t p = 0; p < object_of.size(); ++p)
    if (object_of[p] >= 0) pairs.push_back({static_cast<int64_t>(p), object_of[p]});
  return pairs;
}

}  // namespace plumb::detection
