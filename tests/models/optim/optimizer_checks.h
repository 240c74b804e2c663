// What every optimiser is checked for: its updates against a plain f64 loop, exact resuming, and the minimum of a convex problem.
#pragma once
#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "models/optim/optimizer.h"
#include "models/optim/parameters.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"

namespace plumb::test {

/// Numbers that look random and do not depend on the generator: sin of a growing phase.
inline Tensor waves(const Shape& shape, double phase, DType dtype = f64) {
  std::vector<double> values(static_cast<size_t>(numel(shape)));
  for (size_t i = 0; i < values.size(); ++i) values[i] = std::sin(1.7 * static_cast<double>(i) + phase) + 0.1 * std::cos(phase);
  Tensor t = empty(shape, dtype);
  copy_data(from_vector(values, shape), t);
  return t;
}

/// Several sizes, one of more than a chunk, one of another layout.
inline std::vector<Tensor> some_parameters(DType dtype = f64) {
  Tensor strided = view_of(waves({4, 6}, 3, dtype), {6, 4}, {1, 6}, 0);
  return {waves({3, 5}, 1, dtype).requires_grad_(), waves({1}, 2, dtype).requires_grad_(), alias(strided).requires_grad_(),
          waves({20000}, 4, dtype).requires_grad_(), waves({}, 5, dtype).requires_grad_()};
}

inline void set_waving_gradients(const std::vector<Tensor>& parameters, int step) {
  for (size_t i = 0; i < parameters.size(); ++i)
    parameters[i].set_grad(waves(parameters[i].shape(), 7.3 * step + static_cast<double>(i), parameters[i].dtype()));
}

/// State of the reference for one parameter.
struct ReferenceState {
  std::vector<double> a, b, c;
};

/// reference(p, g, state, t) updates one parameter as plain numbers; t counts from 1. `tolerance` is relative to 1 + |p|.
template <typename Reference>
void check_updates(optim::Optimizer& optimizer, Reference reference, int steps = 6, double tolerance = 1e-12) {
  std::vector<Tensor> parameters = optimizer.parameters();
  std::vector<std::vector<double>> expected;
  std::vector<ReferenceState> states(parameters.size());
  for (size_t i = 0; i < parameters.size(); ++i) {
    expected.push_back(to_vector(parameters[i]));
    states[i].a = states[i].b = states[i].c = std::vector<double>(expected[i].size(), 0.0);
  }
  for (int t = 1; t <= steps; ++t) {
    set_waving_gradients(parameters, t);
    for (size_t i = 0; i < parameters.size(); ++i) reference(expected[i], to_vector(parameters[i].grad()), states[i], t);
    optimizer.step();
    double worst = 0;
    for (size_t i = 0; i < parameters.size(); ++i) {
      std::vector<double> got = to_vector(parameters[i]);
      for (size_t j = 0; j < got.size(); ++j) worst = std::max(worst, std::abs(got[j] - expected[i][j]) / (1 + std::abs(expected[i][j])));
    }
    CAPTURE(t);
    CHECK(worst <= tolerance);
  }
}

/// make(parameters) gives the optimiser: 3 steps, saved, loaded into another, 3 more steps of both: the same bits.
template <typename Make>
void check_resume(Make make, DType dtype = f32) {
  std::vector<Tensor> going = some_parameters(dtype);
  auto first = make(going);
  for (int t = 1; t <= 3; ++t) {
    set_waving_gradients(going, t);
    first.step();
  }
  optim::OptimizerState saved = first.state();
  for (auto& [name, tensor] : saved.tensors) tensor = optim::clone({tensor})[0];
  std::vector<Tensor> resumed = optim::clone(going);
  for (Tensor& p : resumed) p.requires_grad_();
  auto second = make(resumed);
  second.load_state(saved);
  for (int t = 4; t <= 6; ++t) {
    set_waving_gradients(going, t);
    set_waving_gradients(resumed, t);
    first.step();
    second.step();
  }
  for (size_t i = 0; i < going.size(); ++i) CHECK(to_vector(going[i]) == to_vector(resumed[i]));
}

/// ½ Σ c (p − target)² with curvatures c between 0.5 and 2.
struct Quadratic {
  Tensor curvature = add(mul(waves({12}, 0.3), Scalar(0.65)), Scalar(1.25)), target = waves({12}, 0.9);
  Tensor p = zeros({12}, f64).requires_grad_();
  Tensor loss() const { return sum(curvature * (p - target) * (p - target)) * 0.5; }
  double distance() const { return optim::distance({p}, {target}); }
};

/// Runs the optimiser on the quadratic; returns how far from the minimum it ends.
template <typename Make>
double distance_after(Make make, int steps) {
  Quadratic problem;
  auto optimizer = make(std::vector<Tensor>{problem.p});
  for (int t = 0; t < steps; ++t) {
    optimizer.zero_grad();
    problem.loss().backward();
    optimizer.step();
  }
  return problem.distance();
}

}  // namespace plumb::test
