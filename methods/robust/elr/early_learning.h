// Early learning and memorisation in the simplest case that the paper analyses: two noisy clouds and a linear classifier.
#pragma once
#include <vector>

#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::methods::elr {

struct LinearProblemOptions {
  int64_t samples = 200;
  int64_t dimensions = 200;  ///< about as many: then wrong labels can be memorised
  double sigma = 0.5;
  double flip_rate = 0.2;    ///< each label is flipped with this probability
};

/// x_i = y_i v + σ z_i with v a unit vector, z standard normal, y = ±1 alternating; labels ỹ = y, some flipped.
struct LinearProblem {
  Tensor x;              ///< f64 [n, p]
  Tensor truth, given;   ///< f64 [n], ±1
};
/// Throws ValueError for samples or dimensions < 1, σ < 0, or a rate outside [0, 1].
LinearProblem linear_problem(const LinearProblemOptions& options, Generator& generator);

/// What logistic regression, by plain gradient descent from 0 on the given labels, says along the way.
struct EarlyLearning {
  std::vector<int64_t> step;
  std::vector<double> corrected;  ///< share of the flipped examples predicted as their true class
  std::vector<double> memorised;  ///< as their given one
};
/// Measured after steps 1, 2, 4, 8, … and the last one.
EarlyLearning early_learning(const LinearProblem& problem, int64_t steps, double lr);

}  // namespace plumb::methods::elr
