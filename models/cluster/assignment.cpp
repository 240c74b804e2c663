// Assignments, on the host in f64: costs are small matrices.
#include "models/cluster/assignment.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

namespace plumb::cluster {
namespace {

struct Costs {
  size_t rows, columns;
  std::vector<double> v;
  double operator()(size_t r, size_t c) const { return v[r * columns + c]; }
};

Costs read(const Tensor& cost) {
  if (cost.rank() != 2) throw ShapeError("linear_assignment: takes a matrix of costs, got " + to_string(cost.shape()));
  Costs costs{static_cast<size_t>(cost.size(0)), static_cast<size_t>(cost.size(1)), to_vector(cost)};
  for (size_t i = 0; i < costs.v.size(); ++i)
    if (!std::isfinite(costs.v[i]))
      throw ValueError("linear_assignment: the cost of (" + std::to_string(i / costs.columns) + ", " + std::to_string(i % costs.columns) +
                       ") is not finite");
  return costs;
}

// For rows ≤ columns. Row by row, the cheapest path of alternately free and taken pairs from the new row to a free column is found as
// Dijkstra does, over reduced costs cost(r, c) − u_r − v_c ≥ 0, and the pairs along it change sides. Index 0 of the columns is a place to
// start from; rows and columns count from 1, and 0 means none.
std::vector<size_t> row_of_columns(const Costs& cost) {
  std::vector<double> u(cost.rows + 1), v(cost.columns + 1);
  std::vector<size_t> row_of(cost.columns + 1), before(cost.columns + 1);
  for (size_t row = 1; row <= cost.rows; ++row) {
    std::vector<double> nearest(cost.columns + 1, std::numeric_limits<double>::infinity());
    std::vector<char> reached(cost.columns + 1);
    size_t column = 0;
    for (row_of[0] = row; row_of[column] != 0;) {
      reached[column] = 1;
      size_t from = row_of[column], next = 0;
      double step = std::numeric_limits<double>::infinity();
      for (size_t c = 1; c <= cost.columns; ++c) {
        if (reached[c]) continue;
        double reduced = cost(from - 1, c - 1) - u[from] - v[c];
        if (reduced < nearest[c]) nearest[c] = reduced, before[c] = column;
        if (nearest[c] < step) step = nearest[c], next = c;
      }
      for (size_t c = 0; c <= cost.columns; ++c) {
        if (reached[c])
          u[row_of[c]] += step, v[c] -= step;
        else
          nearest[c] -= step;
      }
      column = next;
    }
    for (; column != 0; column = before[column]) row_of[column] = row_of[before[column]];
  }
  return row_of;
}

Costs transposed(const Costs& cost) {
  Costs t{cost.columns, cost.rows, std::vector<double>(cost.v.size())};
  for (size_t r = 0; r < t.rows; ++r)
    for (size_t c = 0; c < t.columns; ++c) t.v[r * t.columns + c] = cost(c, r);
  return t;
}

struct Labelled {
  std::vector<int64_t> clusters, labels;
};

Labelled read_labels(const char* op, const Tensor& clusters, const Tensor& labels) {
  if (clusters.rank() != 1 || clusters.shape() != labels.shape())
    throw ShapeError(std::string(op) + ": takes clusters [n] and labels [n], got " + to_string(clusters.shape()) + " and " +
                     to_string(labels.shape()));
  Labelled l{to_vector<int64_t>(clusters), to_vector<int64_t>(labels)};
  for (const auto* numbers : {&l.clusters, &l.labels})
    for (int64_t v : *numbers)
      if (v < 0) throw IndexError(std::string(op) + ": number " + std::to_string(v) + " is negative");
  return l;
}

std::vector<int64_t> best_classes(const Labelled& l) {
  if (l.clusters.empty()) return {};
  int64_t clusters = std::ranges::max(l.clusters) + 1, classes = std::ranges::max(l.labels) + 1;
  std::vector<double> cost(static_cast<size_t>(clusters * classes));
  for (size_t i = 0; i < l.clusters.size(); ++i) cost[static_cast<size_t>(l.clusters[i] * classes + l.labels[i])] -= 1;
  std::vector<int64_t> found(static_cast<size_t>(clusters), -1);
  for (auto [cluster, label] : linear_assignment(from_vector(cost, {clusters, classes}))) found[static_cast<size_t>(cluster)] = label;
  return found;
}

}  // namespace

Pairs linear_assignment(const Tensor& cost) {
  Costs costs = read(cost);
  bool turned = costs.rows > costs.columns;
  std::vector<size_t> row_of = row_of_columns(turned ? transposed(costs) : costs);
  Pairs pairs;
  for (size_t column = 1; column < row_of.size(); ++column) {
    if (row_of[column] == 0) continue;
    auto r = static_cast<int64_t>(row_of[column] - 1), c = static_cast<int64_t>(column - 1);
    pairs.push_back(turned ? std::pair{c, r} : std::pair{r, c});
  }
  std::sort(pairs.begin(), pairs.end());
  return pairs;
}

std::vector<int64_t> match_clusters(const Tensor& clusters, const Tensor& labels) {
  return best_classes(read_labels("match_clusters", clusters, labels));
}

double cluster_accuracy(const Tensor& clusters, const Tensor& labels) {
  Labelled l = read_labels("cluster_accuracy", clusters, labels);
  if (l.clusters.empty()) throw ValueError("cluster_accuracy: there are no examples");
  std::vector<int64_t> classes = best_classes(l);
  double right = 0;
  for (size_t i = 0; i < l.clusters.size(); ++i) right += classes[static_cast<size_t>(l.clusters[i])] == l.labels[i] ? 1 : 0;
  return right / static_cast<double>(l.clusters.size());
}

}  // namespace plumb::cluster
