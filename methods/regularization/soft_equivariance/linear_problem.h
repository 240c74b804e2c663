// The regulariser where its minimiser is known: a linear map of five vectors to one, whose symmetry is about one axis, from few noisy
// examples.
#pragma once
#include <vector>

#include "methods/regularization/soft_equivariance/soft_equivariance.h"

namespace plumb::methods::soft_equivariance {

/// y = W* x + noise, W* = [a_i 1 + 0.8 n_i e_z e_zᵀ]_i, i = 1 … 5, with a_i, n_i ~ N(0, 1): commutes with O(2) about z and no more.
struct LinearProblem {
  Tensor inputs, targets;  ///< [16, 15], [16, 3] with noise of deviation 0.5; f64
  Tensor truth;            ///< W*, [3, 15]
  /// (1/3) E‖W x − W* x‖² over x ~ N(0, 1), which is ‖W − W*‖² / 3.
  double error(const Tensor& weight) const;
};
LinearProblem linear_problem(Generator& generator);

/// argmin_W of mean (W x − y)² + ½ decay ‖W‖² + Σ_i λ_i R_i(W), exactly. Throws ValueError for another number of strengths.
Tensor linear_minimiser(const LinearProblem& problem, const std::vector<Projector>& groups, const std::vector<double>& strengths,
                        double decay = 1e-4);
/// The same with strengths adjusted once, by the penalties of the first minimiser. `strengths` becomes the new ones.
Tensor tuned_minimiser(const LinearProblem& problem, const std::vector<Projector>& groups, std::vector<double>& strengths, double kappa = 2,
                       double decay = 1e-4);

/// The three O(2): about z, x and y, acting on (x, y), (y, z) and (x, z).
std::vector<Projector> axis_groups();

}  // namespace plumb::methods::soft_equivariance
