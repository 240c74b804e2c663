// One pass over all losses in ascending order.
#include "models/metrics/loss_attack.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "engine/core/error.h"

namespace plumb::metrics {

LossAttack::LossAttack(std::span<const double> members, std::span<const double> others) : members_(members.size()), others_(others.size()) {
  if (members.empty() || others.empty()) throw ValueError("loss_threshold_attack: needs losses of members and of others");
  for (auto [values, member] : {std::pair{members, true}, {others, false}})
    for (size_t i = 0; i < values.size(); ++i) {
      if (std::isnan(values[i])) throw ValueError("loss_threshold_attack: a loss is NaN");
      sorted_.push_back({values[i], member, static_cast<int64_t>(i)});
    }
  std::ranges::stable_sort(sorted_, {}, &Entry::loss);
}

MembershipAttack LossAttack::with_counts(const std::vector<double>& of_members, const std::vector<double>& of_others) const {
  double m = static_cast<double>(members_), o = static_cast<double>(others_), seen_members = 0, seen_others = 0;
  MembershipAttack found{.threshold = -std::numeric_limits<double>::infinity()};
  for (size_t i = 0; i < sorted_.size();) {
    double value = sorted_[i].loss, equal_members = 0, equal_others = 0;
    for (; i < sorted_.size() && sorted_[i].loss == value; ++i) {
      auto place = static_cast<size_t>(sorted_[i].place);
      if (sorted_[i].member)
        equal_members += of_members[place];
      else
        equal_others += of_others[place];
    }
    found.auc += equal_others * (seen_members + equal_members / 2) / (m * o);
    seen_members += equal_members, seen_others += equal_others;
    double advantage = seen_members / m - seen_others / o;
    if (advantage > found.advantage) found.advantage = advantage, found.threshold = value;
  }
  return found;
}

MembershipAttack LossAttack::attack() const { return with_counts(std::vector<double>(members_, 1), std::vector<double>(others_, 1)); }

MembershipAttack LossAttack::resampled(Generator& generator) const {
  auto drawn = [&](size_t n) {
    std::vector<double> counts(n);
    for (size_t k = 0; k < n; ++k) counts[generator.next_below(n)] += 1;
    return counts;
  };
  std::vector<double> members = drawn(members_);
  return with_counts(members, drawn(others_));
}

MembershipAttack loss_threshold_attack(std::span<const double> members, std::span<const double> others) {
  return LossAttack(members, others).attack();
}

}  // namespace plumb::metrics
