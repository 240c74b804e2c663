// The minimum of a smooth function of a few tensors: whole-batch problems that are solved, not trained.
#pragma once
#include <functional>
#include <vector>

#include "engine/core/tensor.h"

namespace plumb::optim {

struct MinimizeOptions {
  int iterations = 1000;
  int history = 10;                  ///< of L-BFGS
  double gradient_tolerance = 1e-4;  ///< done when no element of the gradient is larger
  double change_tolerance = 1e-14;   ///< or when a step changes the value or every element by less
};
struct Minimum {
  std::vector<Tensor> x;  ///< the best point found, f64
  double value = 0;
  double gradient = 0;  ///< the largest element of its gradient
  int evaluations = 0;
  bool converged = false;  ///< gradient ≤ gradient_tolerance
};

/// argmin f from `start` by L-BFGS with strong Wolfe line searches (optim::LBFGS), in f64; f gives a scalar made of operations. Throws
/// ValueError for no tensor, iterations < 1, a negative tolerance, or where f is not finite at the start.
Minimum lbfgs_minimize(const std::function<Tensor(const std::vector<Tensor>&)>& f, const std::vector<Tensor>& start,
                       const MinimizeOptions& options = {});

}  // namespace plumb::optim
