// Which boxes of a teacher to believe: a threshold of the score for each class, from a mixture of two normal distributions fitted to recent
// scores.
#pragma once
#include <array>
#include <cstdint>
#include <deque>
#include <vector>

#include "engine/core/tensor.h"

namespace plumb::methods::consistent_teacher {

struct MixtureRule {
  double start_variance = 0.04;  ///< of both components
  double tolerance = 1e-6;       ///< EM stops when the mean log-likelihood, as each E step finds it, changes by less
  int64_t iterations = 100;      ///< at most
  double floor = 1e-6;           ///< added to every variance
  /// The published rule: variance 1 and tolerance 1e-3. On few scores it stops while both components are nearly the same.
  static MixtureRule published() { return {1.0, 1e-3, 100, 1e-6}; }
};

/// Two normal distributions on the line. models/cluster has mixtures in any dimension; this one is fitted for every class at every step of
/// training and counts iterations as the library that the authors call.
struct GaussianMixture1D {
  std::array<double, 2> weight{0.5, 0.5}, mean{}, variance{};  ///< the second component is the one started at the largest number
  int64_t iterations = 0;

  /// EM from means at the smallest and the largest of x, weights ½. Throws ValueError for no numbers or a rule out of range.
  static GaussianMixture1D fit(const std::vector<double>& x, const MixtureRule& rule = {});
  /// log weight_k + log N(x; mean_k, variance_k).
  double log_joint(double x, size_t k) const;
  double log_density(double x) const;
  /// Whether x belongs to the second component rather than to the first.
  bool upper(double x) const { return log_joint(x, 1) > log_joint(x, 0); }
};

enum class ThresholdPolicy : uint8_t {
  high,    ///< the score, of those that belong to the upper component, at which the mixture is densest
  middle,  ///< the smallest score that belongs to the upper component
};
/// By the policy; 0 for fewer than four scores, or if none belongs to the upper component.
double mixture_threshold(const std::vector<double>& scores, ThresholdPolicy policy = ThresholdPolicy::high, const MixtureRule& rule = {});

/// Of the scores of one image, those above (the n-th in falling order, from 0) − 1e-5 with n = min(⌊Σ scores + ½⌋, N − 1): about as many as
/// the scores themselves expect. Gives that bound; −∞ for no scores.
double expected_count_bound(const std::vector<double>& scores);

/// The last `capacity` scores of each class and what follows from them.
class ScoreThreshold {
 public:
  /// Throws ValueError for classes or capacity below 1.
  ScoreThreshold(int64_t classes, int64_t capacity = 100, ThresholdPolicy policy = ThresholdPolicy::high, MixtureRule rule = {});
  /// Notes scores (those of 0 are not) of their classes and gives every class's threshold, [classes]. Throws ShapeError for sizes that
  /// differ, IndexError for a class outside.
  std::vector<double> update(const std::vector<int64_t>& classes, const std::vector<double>& scores);
  std::vector<double> thresholds() const;
  /// Newest first.
  const std::deque<double>& scores(int64_t c) const { return buffers_.at(static_cast<size_t>(c)); }

 private:
  std::vector<std::deque<double>> buffers_;
  size_t capacity_;
  ThresholdPolicy policy_;
  MixtureRule rule_;
};

}  // namespace plumb::methods::consistent_teacher
