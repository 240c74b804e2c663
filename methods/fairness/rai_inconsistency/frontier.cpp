// Counts above a threshold by binary search in each group's sorted predictions; pairs of thresholds are then arithmetic.
#include "methods/fairness/rai_inconsistency/frontier.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "models/metrics/fairness.h"

namespace plumb::methods::rai_inconsistency {
namespace {

// One group: predictions of each label in ascending order.
struct Group {
  std::vector<double> all, of_label[2];
  double count(int label) const { return static_cast<double>(of_label[label].size()); }
};

// One threshold of one group.
struct Level {
  double threshold, wrong, selected, hits;  // numbers of rows
  double true_positive_rate, false_positive_rate;
};

double quantile(const std::vector<double>& ascending, double q) {
  double place = q * static_cast<double>(ascending.size() - 1);
  auto below = static_cast<size_t>(place);
  if (below + 1 >= ascending.size()) return ascending.back();
  return ascending[below] + (place - static_cast<double>(below)) * (ascending[below + 1] - ascending[below]);
}

double at_least(const std::vector<double>& ascending, double threshold) {
  return static_cast<double>(ascending.end() - std::lower_bound(ascending.begin(), ascending.end(), threshold));
}

std::vector<Level> levels_of(const Group& g, int64_t grid) {
  std::vector<Level> levels;
  for (int64_t j = 0; j < grid; ++j) {
    double threshold = quantile(g.all, static_cast<double>(j) / static_cast<double>(grid));
    double hits = at_least(g.of_label[1], threshold), alarms = at_least(g.of_label[0], threshold);
    levels.push_back({threshold, alarms + g.count(1) - hits, hits + alarms, hits, hits / g.count(1), alarms / g.count(0)});
  }
  return levels;
}

std::map<int64_t, Group> groups_of(const Tensor& p, const Tensor& y, const Tensor& a) {
  metrics::group_probabilities(p, y, a);  // its checks are these
  std::map<int64_t, Group> groups;
  std::vector<double> probability = to_vector(p), label = to_vector(y);
  std::vector<int64_t> group = to_vector<int64_t>(a);
  for (size_t i = 0; i < group.size(); ++i) {
    Group& g = groups[group[i]];
    g.all.push_back(probability[i]);
    g.of_label[label[i] == 1].push_back(probability[i]);
  }
  if (groups.size() != 2) throw ValueError("frontier: takes two groups, there are " + std::to_string(groups.size()));
  for (auto& [number, g] : groups)
    for (int label_of : {0, 1}) {
      if (g.of_label[label_of].empty())
        throw ValueError("frontier: group " + std::to_string(number) + " has no row with label " + std::to_string(label_of));
      std::ranges::sort(g.of_label[label_of]);
    }
  for (auto& [number, g] : groups) std::ranges::sort(g.all);
  return groups;
}

double largest(const ThresholdPair& pair, const std::vector<size_t>& definitions) {
  double gap = 0;
  for (size_t d : definitions) gap = std::max(gap, pair.gap.at(d));
  return gap;
}

}  // namespace

ThresholdFrontier::ThresholdFrontier(std::vector<ThresholdPair> pairs, double budget) : pairs_(std::move(pairs)), budget_(budget) {
  best_ = std::numeric_limits<double>::infinity();
  for (const ThresholdPair& p : pairs_) best_ = std::min(best_, p.error);
}

double ThresholdFrontier::least_error(const std::vector<size_t>& definitions, double most) const {
  double least = std::numeric_limits<double>::infinity();
  for (const ThresholdPair& p : pairs_)
    if (largest(p, definitions) <= most) least = std::min(least, p.error);
  return least;
}

double ThresholdFrontier::feasibility(const std::vector<size_t>& definitions) const {
  double level = std::numeric_limits<double>::infinity();
  for (const ThresholdPair& p : pairs_)
    if (p.error <= best_ + budget_) level = std::min(level, largest(p, definitions));
  return level;
}

double ThresholdFrontier::contradiction(size_t first, size_t second) const {
  return feasibility({first, second}) - std::max(feasibility({first}), feasibility({second}));
}

double ThresholdFrontier::joint_level() const { return feasibility({0, 1, 2}); }

ThresholdFrontier frontier(const Tensor& p, const Tensor& y, const Tensor& a, int64_t grid, double budget) {
  if (grid < 1 || !(budget >= 0))
    throw ValueError("frontier: needs a grid >= 1 and a budget >= 0, got " + std::to_string(grid) + " and " + decimal(budget));
  std::map<int64_t, Group> groups = groups_of(p, y, a);
  std::vector<Level> first = levels_of(groups.begin()->second, grid), second = levels_of(groups.rbegin()->second, grid);
  double n0 = static_cast<double>(groups.begin()->second.all.size()), n1 = static_cast<double>(groups.rbegin()->second.all.size());
  std::vector<ThresholdPair> pairs;
  pairs.reserve(first.size() * second.size());
  for (const Level& u : first)
    for (const Level& v : second) {
      if (u.selected == 0 || v.selected == 0) continue;
      double odds =
          std::max(std::abs(u.true_positive_rate - v.true_positive_rate), std::abs(u.false_positive_rate - v.false_positive_rate));
      pairs.push_back({{u.threshold, v.threshold},
                       (u.wrong + v.wrong) / (n0 + n1),
                       {std::abs(u.selected / n0 - v.selected / n1), odds, std::abs(u.hits / u.selected - v.hits / v.selected)}});
    }
  return ThresholdFrontier(std::move(pairs), budget);
}

}  // namespace plumb::methods::rai_inconsistency
