// Do decisions treat groups alike? Rates within groups, and their largest differences.
#pragma once
#include <cstdint>
#include <vector>

#include "engine/core/tensor.h"

namespace plumb::metrics {

/// What happens to one group. Rates that would divide 0 by 0 are NaN, and so is a gap with one of them: an undefined rate is not 0.
struct GroupRates {
  int64_t group = 0, count = 0;
  double base_rate = 0;            ///< P(y = 1)
  double selection_rate = 0;       ///< P(h = 1)
  double true_positive_rate = 0;   ///< P(h = 1 | y = 1)
  double false_positive_rate = 0;  ///< P(h = 1 | y = 0)
  double precision = 0;            ///< P(y = 1 | h = 1), the positive predictive value
  double accuracy = 0;             ///< P(h = y)
};
/// Of decisions h [n] and labels y [n], both 0 or 1 (or bool), and group numbers [n]; groups in ascending order. Throws ShapeError unless
/// they are vectors of one length, ValueError naming a value that is neither 0 nor 1, or if there are no examples.
std::vector<GroupRates> group_rates(const Tensor& decisions, const Tensor& labels, const Tensor& groups);

// The largest difference between any two groups.
double demographic_parity_gap(const std::vector<GroupRates>& groups);  ///< of selection rates
double equal_opportunity_gap(const std::vector<GroupRates>& groups);   ///< of true positive rates
double equalized_odds_gap(const std::vector<GroupRates>& groups);  ///< of true or of false positive rates, the larger (Hardt et al. 2016)
double predictive_parity_gap(const std::vector<GroupRates>& groups);  ///< of precisions (Chouldechova 2017)
double worst_group_accuracy(const std::vector<GroupRates>& groups);   ///< the lowest accuracy
/// The least selection rate over the largest: 1 is equal treatment, below 0.8 the "four fifths rule" is broken. NaN if nobody is selected.
double disparate_impact(const std::vector<GroupRates>& groups);

/// What probabilities p [n] do, by group: no decision is made. Errors as group_rates, and for p outside [0, 1].
struct GroupProbabilities {
  int64_t group = 0, count = 0;
  double mean = 0;             ///< mean p
  double mean_positives = 0;   ///< over y = 1; NaN without any
  double mean_negatives = 0;   ///< over y = 0
  double calibration_gap = 0;  ///< mean (y − p): calibration in the large
};
std::vector<GroupProbabilities> group_probabilities(const Tensor& probabilities, const Tensor& labels, const Tensor& groups);

/// Inequality of what individuals get, b = h − y + 1 (Speicher et al. 2018), μ its mean: ½ mean((b/μ)² − 1), and Theil's mean of
/// (b/μ) log(b/μ), with 0 log 0 = 0. Errors as group_rates.
struct Inequality {
  double generalized_entropy = 0, theil = 0;
};
Inequality benefit_inequality(const Tensor& decisions, const Tensor& labels);

}  // namespace plumb::metrics
