// What cannot hold together: known impossibility results as identities and bounds, measured on one model's predictions.
#pragma once
#include <cstdint>
#include <vector>

#include "engine/core/tensor.h"

namespace plumb::methods::rai_inconsistency {

/// Chouldechova (2017): FPR = b/(1 − b) · (1 − PPV)/PPV · (1 − FNR) for any decisions of a group with base rate b. Groups of different base
/// rates with equal PPV and FNR therefore differ in FPR. NaN where it divides by 0.
double implied_false_positive_rate(double base_rate, double ppv, double fnr);

/// One group's rates, and what the identity makes of them.
struct GroupIdentity {
  int64_t group = 0, count = 0;
  double base_rate = 0, selection_rate = 0, ppv = 0, false_positive_rate = 0, false_negative_rate = 0, error = 0;
  double identity = 0;  ///< the FPR that the identity gives
  double implied = 0;   ///< the FPR if PPV and FNR were those of all groups together
};

struct IncompatibilityReport {
  std::vector<GroupIdentity> groups;
  double residual = 0;                    ///< max_a |FPR − identity| over groups where both are defined: 0 but for rounding
  double pooled_ppv = 0, pooled_fnr = 0;  ///< of all rows
  double implied_gap = 0;                 ///< largest difference of `implied`: the FPR gap that equal PPV and FNR would bring
  double base_rate_gap = 0;
  /// Kleinberg, Mullainathan & Raghavan (2017): unless base rates are equal or p is 0 or 1, not all three are 0.
  double calibration = 0, balance_positive = 0, balance_negative = 0;
  double kleinberg() const;  ///< the largest of the three; NaN if one is
  /// Zhao & Gordon (2019): err_a + err_b ≥ |b_a − b_b| − |s_a − s_b|; the least difference of both sides over pairs of groups, never
  /// negative.
  double zhao_gordon_slack = 0;
};

/// p, y, a [n] as evaluate() takes them, with its errors.
IncompatibilityReport incompatibilities(const Tensor& p, const Tensor& y, const Tensor& a, double threshold = 0.5);

}  // namespace plumb::methods::rai_inconsistency
