// Principal components: the best linear autoencoder, in closed form.
#pragma once
#include <vector>

#include "engine/core/tensor.h"

namespace plumb::autoencoder {

/// encode(x) = (x − mean) V, decode(z) = mean + z Vᵀ, V [d, k] the eigenvectors of the rows' covariance with the largest eigenvalues, in
/// descending order; of each the largest number in absolute value is positive.
class PrincipalComponents {
 public:
  /// Of rows [n, d]. Throws ShapeError for another rank, ValueError unless n ≥ 2 and 1 ≤ k ≤ d.
  PrincipalComponents(const Tensor& rows, int64_t k);
  Tensor encode(const Tensor& rows) const;
  Tensor decode(const Tensor& codes) const;
  /// Of the components' variances, in their order, and of what they leave out.
  const std::vector<double>& variances() const { return variances_; }
  double share_kept() const { return kept_; }

 private:
  Tensor mean_, axes_;
  std::vector<double> variances_;
  double kept_ = 0;
};

}  // namespace plumb::autoencoder
