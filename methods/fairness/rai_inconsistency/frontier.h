// What thresholds can buy: every pair of group thresholds, the error it costs, and the gaps that it closes.
#pragma once
#include <array>
#include <string>
#include <vector>

#include "engine/core/tensor.h"

namespace plumb::methods::rai_inconsistency {

/// The definitions of fairness that the frontier holds against each other, in this order.
inline constexpr size_t kDefinitions = 3;
inline const std::array<std::string, kDefinitions>& definition_names() {
  static const std::array<std::string, kDefinitions> names{"demographic parity", "equalised odds", "predictive parity"};
  return names;
}

/// Decisions by one threshold for each of two groups.
struct ThresholdPair {
  double threshold[2] = {0, 0};  ///< of the lower and the higher group number: h = [p ≥ threshold]
  double error = 0;              ///< share of wrong decisions over both groups
  std::array<double, kDefinitions> gap = {};
};

class ThresholdFrontier {
 public:
  ThresholdFrontier(std::vector<ThresholdPair> pairs, double budget);

  /// All pairs whose gaps are defined.
  const std::vector<ThresholdPair>& pairs() const { return pairs_; }
  double best_error() const { return best_; }  ///< the least of all
  double budget() const { return budget_; }
  /// The least error of pairs with gap d ≤ `most`, or with all of several gaps; ∞ if there is none.
  double least_error(size_t definition, double most) const { return least_error(std::vector<size_t>{definition}, most); }
  double least_error(const std::vector<size_t>& definitions, double most) const;
  /// The smallest t for which all these gaps ≤ t is feasible with an error of at most best_error() + budget.
  double feasibility(const std::vector<size_t>& definitions) const;
  /// feasibility of the two together less that of the worse one alone: how far they contradict each other on this data.
  double contradiction(size_t first, size_t second) const;
  /// t*: the joint feasibility level of all definitions.
  double joint_level() const;

 private:
  std::vector<ThresholdPair> pairs_;
  double best_ = 0, budget_;
};

/// Thresholds are the levels j / grid, j = 0 … grid − 1, of each group's p, interpolated linearly; a pair with an undefined gap is left
/// out. The error budget keeps constant decisions, which close two of the gaps, from counting as a way out. p, y, a as evaluate() takes
/// them, of exactly two groups: ValueError otherwise, also where a group lacks a class or for grid < 1 or budget < 0.
ThresholdFrontier frontier(const Tensor& p, const Tensor& y, const Tensor& a, int64_t grid = 100, double budget = 0.05);

}  // namespace plumb::methods::rai_inconsistency
