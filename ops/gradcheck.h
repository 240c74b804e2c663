// Checking derivatives against central differences.
#pragma once
#include <string>
#include <vector>

#include "ops/tensor_function.h"

namespace plumb {

struct GradcheckOptions {
  double eps = 1e-5;    ///< half the distance of the two evaluations
  double atol = 1e-7;   ///< |analytic − numeric| ≤ atol + rtol · |numeric| passes
  double rtol = 1e-5;
  uint64_t seed = 0;    ///< of the outputs' weights
};

struct GradcheckResult {
  bool passed = true;
  std::string message;     ///< the input, element, analytic and numeric value of the first difference; empty if none
  double worst_error = 0;  ///< the largest |analytic − numeric|
  explicit operator bool() const { return passed; }
  /// Throws AutogradError with the message unless passed.
  void throw_if_failed() const;
};

/// Compares grad() of L(x) = Σ_k ⟨w_k, f(x)_k⟩, with fixed random weights w, to (L(x + ε e) − L(x − ε e)) / 2ε for every element of every
/// floating input. f must be deterministic and without kinks within ε of the inputs. Integer inputs and outputs are left alone. The
/// inputs keep their strides; their elements are changed and restored one at a time meanwhile.
/// Throws DTypeError for floating inputs other than f64, ValueError for inputs whose elements overlap or that share memory.
GradcheckResult gradcheck(const TensorFunction& f, const std::vector<Tensor>& inputs, GradcheckOptions options = {});

/// Compares derivatives of f's gradient (under create_graph) to differences of the gradient itself (without), with respect to the
/// inputs and to the outputs' gradients: checks the second derivative, and the formula of each fused backward kernel against it.
GradcheckResult gradgradcheck(const TensorFunction& f, const std::vector<Tensor>& inputs, GradcheckOptions options = {});

}  // namespace plumb
