// Does a model give away who was in its training set?
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "engine/core/generator.h"

namespace plumb::metrics {

/// The attack that calls everyone a member whose loss is at most t (Yeom et al. 2018).
struct MembershipAttack {
  double advantage = 0;  ///< max_t P(loss of a member ≤ t) − P(loss of another ≤ t), at least 0
  double threshold = 0;  ///< the least t that attains it; −∞ if none is better than nothing
  double auc = 0;        ///< P(a member's loss is the smaller) + ½ P(both are equal): ½ tells nothing
};
/// Of the losses of training examples and of others. Throws ValueError if one has none or holds a NaN.
MembershipAttack loss_threshold_attack(std::span<const double> members, std::span<const double> others);

/// The same attack on many resamples of the two: sorted once.
class LossAttack {
 public:
  /// Throws as loss_threshold_attack.
  LossAttack(std::span<const double> members, std::span<const double> others);
  MembershipAttack attack() const;
  /// On as many members and others as there are, drawn with replacement.
  MembershipAttack resampled(Generator& generator) const;

 private:
  struct Entry {
    double loss;
    bool member;
    int64_t place;  ///< among members or others
  };
  MembershipAttack with_counts(const std::vector<double>& of_members, const std::vector<double>& of_others) const;
  std::vector<Entry> sorted_;
  size_t members_, others_;
};

}  // namespace plumb::metrics
