// The Ising model on a small torus: a distribution over binary vectors of which everything is known by counting, to judge generative models
// by.
#pragma once
#include <cstdint>
#include <vector>

#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::methods {

struct IsingOptions {
  int64_t side = 4;       ///< of the square lattice, at least 3; its edges are glued
  double coupling = 0.1;  ///< J of each ordered pair of neighbours: an edge counts twice
  double field = 0.2;     ///< b
};

/// p(x) ∝ f(x) = exp(sᵀ J s + b Σ s), s = 2x − 1 for x in {0, 1}^D, D = side².
class Ising {
 public:
  /// Throws ValueError for a side below 3.
  explicit Ising(IsingOptions options = {});
  int64_t sites() const { return options_.side * options_.side; }
  /// The four neighbours of a site, row by row.
  const std::vector<std::vector<int64_t>>& neighbours() const { return neighbours_; }

  /// log f of x [B, D] (any type, 0 or 1): f64 [B]. Throws ShapeError for another width, ValueError for another value.
  Tensor log_f(const Tensor& x) const;
  /// x after `sweeps` sweeps of Gibbs sampling, each site in turn drawn from p(s_i | the others); the shape and type of x.
  Tensor gibbs(const Tensor& x, int64_t sweeps, Generator& generator = default_generator()) const;

 private:
  std::vector<int> states(const Tensor& x) const;
  double log_f(const int* x) const;
  friend class EnumeratedIsing;
  IsingOptions options_;
  std::vector<std::vector<int64_t>> neighbours_;
};

/// All 2^D states of a lattice of side 3 or 4, with their probabilities.
class EnumeratedIsing {
 public:
  /// Throws ValueError for a side above 4.
  explicit EnumeratedIsing(const Ising& model);
  double log_z() const { return log_z_; }
  double mean_log_f() const;
  double entropy() const { return log_z_ - mean_log_f(); }  ///< in nats
  /// log p of the sites that are known: x [B, D] holds 0, 1, or −1 for unknown; f64 [B].
  Tensor log_marginal(const Tensor& x) const;
  /// P(x_i = 1) of every site, [D].
  std::vector<double> site_means() const;
  /// n exact draws, [n, D] f32.
  Tensor sample(int64_t n, Generator& generator = default_generator()) const;

 private:
  int64_t sites_;
  double log_z_ = 0;
  std::vector<double> log_f_;  // of state number Σ x_i 2^i
};

}  // namespace plumb::methods
