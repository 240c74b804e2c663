// The two problems of the experiment: what generates, what annotates, what the truth is.
#pragma once
#include <memory>
#include <string>

#include "methods/common/control_adapter.h"
#include "methods/common/digit_generation.h"

namespace plumb::methods::nct {

/// A frozen one-step generator f and an annotator of its samples.
struct Problem {
  OneStepGenerator generator;                                               ///< z [B, noise] → x [B, outputs], differentiable in z
  std::function<Tensor(const Tensor& x)> annotate;                          ///< c of x, [B, control]
  std::function<Tensor(const Tensor& x, const Tensor& control)> violation;  ///< how far x is from obeying c, differentiable: [B]
  ControlAdapterConfig adapter;
  double margin = 0.05;  ///< ξ: 5 % of the mean distance of two samples
};

/// f(z) = (z₁, z₂ + sin 2 z₁), c = the quadrant of x as one of four.
Problem plane_problem();
/// The quadrant, i64 [B], of points or of one-hot controls.
Tensor quadrant(const Tensor& x);

/// f = a consistency model of the 8 × 8 digits in one step, c = x averaged over its four quarters. The network must outlive it.
Problem digit_problem(const diffusion::TimeMlp& network, Generator& generator = default_generator());
/// Rows [n, 64] averaged over quarters, [n, 4], and such thumbnails as rows again, [n, 64].
Tensor quarters(const Tensor& rows);
Tensor enlarged(const Tensor& thumbnails);

/// Exact sampling by trying: for each control the nearest of `tries` fresh samples of f (any of those that agree where controls are
/// classes).
Tensor nearest_of(const Problem& problem, const Tensor& control, int64_t tries, Generator& generator = default_generator());

/// x = f(z*) with z* from z by `steps` steps of Adam (rate 0.1) on weight · violation + ‖z‖²/2d, steps + 1 calls of f.
Tensor optimised(const Problem& problem, const Tensor& z, const Tensor& control, int64_t steps = 30, double weight = 10);

}  // namespace plumb::methods::nct
