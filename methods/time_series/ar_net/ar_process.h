// Autoregressive processes: whether one is stationary, coefficients drawn at random, and series simulated from them.
#pragma once
#include <cstdint>

#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::methods::ar_net {

/// Whether y_t = Σ_i w_i y_{t−i} + noise is stationary: all roots of z^p − w_1 z^{p−1} − … − w_p within the unit circle. By the step-down
/// recursion: all partial autocorrelations below 1 in absolute value. w [p], lag 1 first. Throws ShapeError unless it is a vector.
bool is_stationary(const Tensor& coefficients);

/// The paper's random coefficients, f64 [p]: w_i ~ U(−1, 1); where Σ|w| > 1, divided by it and multiplied by U(0.5, 1); the mean taken off;
/// all of it again until the process is stationary. Throws ValueError for order < 1.
Tensor random_ar_coefficients(int64_t order, Generator& generator);

struct ArSimulation {
  double noise = 1;     ///< its standard deviation
  int64_t burn = 500;   ///< steps from zero that are thrown away first
  bool centred = true;  ///< the mean of the series is taken off
};
/// n steps of the process, f64 [n]. Throws ShapeError, and ValueError for n < 1, burn < 0, negative noise or a process that is not
/// stationary.
Tensor simulate_ar(const Tensor& coefficients, int64_t n, Generator& generator, const ArSimulation& options = {});

}  // namespace plumb::methods::ar_net
