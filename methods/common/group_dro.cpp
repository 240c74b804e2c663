// Exponentiated weights of groups.
#include "methods/common/group_dro.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods {

GroupDro::GroupDro(int64_t groups, double eta) : eta_(eta) {
  if (groups < 1) throw ValueError("group_dro: needs at least one group, not " + std::to_string(groups));
  if (!(eta >= 0)) throw ValueError("group_dro: eta must not be negative, it is " + decimal(eta));
  q_.assign(static_cast<size_t>(groups), 1 / static_cast<double>(groups));
}

Tensor GroupDro::loss(const Tensor& losses, const Tensor& groups) {
  if (losses.rank() != 1 || losses.shape() != groups.shape())
    throw ShapeError("group_dro: takes losses and groups of one length, got " + to_string(losses.shape()) + " and " +
                     to_string(groups.shape()));
  std::vector<double> l = to_vector(losses), total(q_.size()), count(q_.size());
  std::vector<int64_t> g = to_vector<int64_t>(groups);
  for (size_t i = 0; i < g.size(); ++i) {
    if (g[i] < 0 || g[i] >= static_cast<int64_t>(q_.size()))
      throw IndexError("group_dro: group " + std::to_string(g[i]) + " is outside [0, " + std::to_string(q_.size()) + ")");
    total[static_cast<size_t>(g[i])] += l[i];
    count[static_cast<size_t>(g[i])] += 1;
  }
  double sum_q = 0;
  for (size_t k = 0; k < q_.size(); ++k) {
    if (count[k] > 0) q_[k] *= std::exp(eta_ * total[k] / count[k]);
    sum_q += q_[k];
  }
  for (double& q : q_) q /= sum_q;
  std::vector<double> weight(g.size());
  for (size_t i = 0; i < g.size(); ++i) weight[i] = q_[static_cast<size_t>(g[i])] / count[static_cast<size_t>(g[i])];
  return sum(losses * to(to(from_vector(weight), losses.dtype()), losses.device()));
}

}  // namespace plumb::methods
