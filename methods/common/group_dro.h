// Group distributionally robust optimisation: the worst group's loss counts.
#pragma once
#include <vector>

#include "engine/core/tensor.h"

namespace plumb::methods {

/// Group DRO (Sagawa et al., ICLR 2020): min_θ max_q Σ_g q_g L_g by exponentiated weights, q_g ∝ q_g e^{η L_g}, which start equal.
class GroupDro {
 public:
  /// Throws ValueError unless groups ≥ 1 and eta ≥ 0.
  explicit GroupDro(int64_t groups, double eta = 0.01);

  /// losses [n] of examples with groups [n] in 0 … G − 1 → Σ_g q_g L_g with L_g the group's mean loss in the batch, a scalar; moves q by
  /// the groups that occur (the others keep their share) and takes it as constant. Throws ShapeError unless both are vectors of one length,
  /// IndexError naming a group outside its range.
  Tensor loss(const Tensor& losses, const Tensor& groups);
  const std::vector<double>& weights() const { return q_; }

 private:
  std::vector<double> q_;
  double eta_;
};

}  // namespace plumb::methods
