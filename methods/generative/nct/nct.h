// Noise consistency training (Luo et al., NeurIPS 2025): a one-step generator learns a control it was not made for, from its own samples.
#pragma once
#include <vector>

#include "engine/core/generator.h"
#include "methods/common/control_adapter.h"
#include "models/diffusion/consistency.h"
#include "models/optim/dual_variable.h"

namespace plumb::methods::nct {

/// From the noise z that made x, and with it c, to a noise that knows nothing of them: z_k = α_k z + σ_k e, 0 = σ_0 < … < σ_N = 1,
/// α = √(1 − σ²), so that z_k ~ N(0, I) at every k.
class NoisePath {
 public:
  /// σ_k = sin(π k / 2N), α_k = cos(π k / 2N); both ends exact. Throws ValueError unless N ≥ 1.
  explicit NoisePath(int64_t levels = 16);
  /// A schedule of one's own. Throws ValueError unless it ascends from 0 to 1.
  explicit NoisePath(const std::vector<double>& sigmas);
  int64_t levels() const { return static_cast<int64_t>(sigma_.size()) - 1; }  ///< N
  /// k from 0 to N; throw IndexError for another.
  double alpha(int64_t k) const { return alpha_[checked(k)]; }
  double sigma(int64_t k) const { return sigma_[checked(k)]; }

  /// z at levels k_b and k_b + 1 of one path: the same z and the same e [B, ..]. Throws IndexError for k outside [0, N), ShapeError unless
  /// there is one k an example.
  struct Neighbours {
    Tensor low, high;
  };
  Neighbours couple(const Tensor& z, const Tensor& e, const std::vector<int64_t>& k) const;

 private:
  size_t checked(int64_t k) const;
  Tensor at(const Tensor& z, const Tensor& e, const std::vector<int64_t>& k, int64_t offset) const;
  std::vector<double> alpha_, sigma_;
};

/// The distance of samples: √(‖a − b‖² + h²) − h, one norm a sample, or the mean square.
struct Distance {
  diffusion::ConsistencyMetric metric = diffusion::ConsistencyMetric::pseudo_huber;
  double h = 0.03;
  Tensor operator()(const Tensor& a, const Tensor& b) const;  ///< [B]
};

/// d(g(z_high, c), sg g(z_low, c)), [B]: no gradient goes through the target.
Tensor noise_consistency_losses(const ControlledGenerator& g, const NoisePath::Neighbours& pair, const Tensor& control,
                                const Distance& d = {});
/// d(g(z, c), x) with x = f(z), which gets no gradient: [B]. Throws ShapeError if g and f make samples of different shapes.
Tensor boundary_losses(const ControlledGenerator& g, const Tensor& z, const Tensor& x, const Tensor& control, const Distance& d = {});
/// With several e for one z and c, a and b [B, M, ..]:  mean_ij d(a_i, b_j) − ½ mean_ij d(a_i, a_j) − ½ mean_ij d(b_i, b_j), [B]: half the
/// squared maximum mean discrepancy with the kernel −d; d(a, b) for M = 1. Throws ShapeError unless both have one shape.
Tensor particle_losses(const Tensor& a, const Tensor& b, const Distance& d = {});

struct NctOptions {
  int64_t levels = 16;    ///< N: few give more control, many more diversity
  int64_t particles = 1;  ///< M
  Distance distance = {};
  optim::DualOptions dual = {.start = 1, .rate = 0.05, .margin = 0.05};
  /// Throws ValueError for N < 1, M < 1, h ≤ 0, and as DualOptions::check.
  void check() const;
};

/// What a step is made of: z drawn, x = f(z), c an annotation of this very x.
struct Coupled {
  Tensor z, x, control;
};

/// min_φ E d(g(z_(k+1), c), sg g(z_k, c))  subject to  E d(g(z, c), f(z)) ≤ ξ.
///   NctTraining training(options);
///   …  Tensor loss = training.loss(g, batch);  adam.zero_grad();  loss.backward();  adam.step();  training.update();
/// If both terms are met, z and c drawn independently give (g(z, c), c) ~ p(x) p(c | x): sampling of x given c with one call.
class NctTraining {
 public:
  /// Throws as NctOptions::check.
  explicit NctTraining(const NctOptions& options = {});
  /// L_con + λ L_bound, a scalar; k ~ U{0 … N − 1} and e ~ N(0, I) are drawn.
  Tensor loss(const ControlledGenerator& g, const Coupled& batch, Generator& generator = default_generator());
  /// After the optimiser's step: λ ← max(0, λ + η (L_bound − ξ)).
  double update() { return dual_.update(boundary_); }
  double lambda() const { return dual_.value(); }
  double consistency() const { return consistency_; }  ///< of the last loss()
  double boundary() const { return boundary_; }
  const NoisePath& path() const { return path_; }

 private:
  Tensor consistency_losses(const ControlledGenerator& g, const Coupled& batch, Generator& generator) const;
  NctOptions options_;
  NoisePath path_;
  optim::DualVariable dual_;
  double consistency_ = 0, boundary_ = 0;
};

}  // namespace plumb::methods::nct
