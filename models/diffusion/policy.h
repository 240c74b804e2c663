// Samplers as policies: each step of few-step or ancestral sampling as a draw from a normal distribution whose log-probability is known, so
// that a generator can be trained for any reward.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "engine/core/generator.h"
#include "models/diffusion/noise_schedule.h"
#include "models/diffusion/precondition.h"

namespace plumb::diffusion {

/// What a policy asks: (x [B, ..], level [B], context) → [B, ..]; a denoiser of x₀ + σz (level σ), or a noise prediction (level t) for
/// LatentConsistencyPolicy. The context may be undefined.
using PolicyNetwork = std::function<Tensor(const Tensor& x, const Tensor& level, const Tensor& context)>;

/// The distribution of an action, N(mean, variance_b I) for each example, and the clean sample that the network expects here.
struct PolicyStep {
  Tensor mean;      ///< [B, ..]
  Tensor variance;  ///< [B]
  Tensor estimate;  ///< [B, ..]
};

/// log N(x; mean, variance_b I) of each example, the MEAN over its numbers (so that a clip range does not depend on how many there are),
/// [B]:
///   (1/d) Σ_j [−(x_j − μ_j)²/(2 v) − ½ ln v − ½ ln 2π]
/// Throws ShapeError unless x and mean are [B, ..] of one shape and the variance is [B].
Tensor gaussian_log_prob(const Tensor& x, const Tensor& mean, const Tensor& variance);

/// A Markov decision process of H steps: state (x_k, level k, context), action x_(k+1), reward at the end.
class SamplerPolicy {
 public:
  virtual ~SamplerPolicy() = default;
  virtual int64_t horizon() const = 0;   ///< H: calls of the network for one sample
  virtual double start_std() const = 0;  ///< x_0 ~ N(0, this² I)
  /// The rewarded sample is the last action (whose noise is small); else the last estimate.
  virtual bool rewards_action() const = 0;
  /// Each example at a step of its own, k_b from 0 to H − 1. Throws IndexError for another, ShapeError unless there is one an example.
  PolicyStep at(const PolicyNetwork& network, const Tensor& x, const std::vector<int64_t>& k, const Tensor& context = {}) const;

 protected:
  virtual PolicyStep distribution(const PolicyNetwork& network, const Tensor& x, const std::vector<int64_t>& k,
                                  const Tensor& context) const = 0;
};

/// Multistep consistency sampling, variance exploding: a_k ~ N(f(x_k, τ_k), (τ_(k+1)² − σ_min²) I); the last action, which would have no
/// variance, N(f, s_a² I).
class ConsistencyPolicy : public SamplerPolicy {
 public:
  /// Throws ValueError unless times descend to above σ_min, there is one at least, and s_a > 0.
  explicit ConsistencyPolicy(std::vector<double> times, double terminal_std = 0.1, double sigma_min = 0.002);
  int64_t horizon() const override { return static_cast<int64_t>(times_.size()); }
  double start_std() const override { return times_.front(); }
  bool rewards_action() const override { return true; }

 protected:
  PolicyStep distribution(const PolicyNetwork& network, const Tensor& x, const std::vector<int64_t>& k,
                          const Tensor& context) const override;

 private:
  std::vector<double> times_;
  double terminal_std_, sigma_min_;
};

/// Latent consistency sampling, variance preserving: f = c_skip x + c_out x₀(ε), a_k ~ N(√ᾱ' f, (1 − ᾱ') I) with ᾱ' of the next time; the
/// last action has its own time for the next, as the released code has it.
class LatentConsistencyPolicy : public SamplerPolicy {
 public:
  /// times descend, lcm_sampling_times(H). Throws ValueError for times that do not, IndexError for times that the schedule lacks.
  LatentConsistencyPolicy(VpSchedule schedule, std::vector<int64_t> times);
  int64_t horizon() const override { return static_cast<int64_t>(times_.size()); }
  double start_std() const override { return 1; }
  bool rewards_action() const override { return false; }

 protected:
  PolicyStep distribution(const PolicyNetwork& network, const Tensor& x, const std::vector<int64_t>& k,
                          const Tensor& context) const override;

 private:
  VpSchedule schedule_;
  std::vector<int64_t> times_;
};

/// The ancestral diffusion sampler (DDPO: Black et al., ICLR 2024), variance exploding: a_k ~ N(a x + (1 − a) D(x, t), s² (1 − a) I),
/// a = s²/t², from level t to the next, s; at the last level N(D, s_a² I).
class AncestralPolicy : public SamplerPolicy {
 public:
  /// Throws as ConsistencyPolicy.
  explicit AncestralPolicy(std::vector<double> sigmas, double terminal_std = 0.1);
  int64_t horizon() const override { return static_cast<int64_t>(sigmas_.size()); }
  double start_std() const override { return sigmas_.front(); }
  bool rewards_action() const override { return true; }

 protected:
  PolicyStep distribution(const PolicyNetwork& network, const Tensor& x, const std::vector<int64_t>& k,
                          const Tensor& context) const override;

 private:
  std::vector<double> sigmas_;
  double terminal_std_;
};

/// B paths through a policy, as drawn.
struct Trajectories {
  Tensor states, actions;  ///< [H, B, ..]
  Tensor log_probs;        ///< of the actions as they were drawn, [H, B]
  Tensor estimate;         ///< the last step's clean sample, [B, ..]: what is sampled after training
  Tensor context;          ///< [B, ..] or undefined
  int64_t horizon() const { return states.size(0); }
  int64_t size() const { return states.size(1); }
  /// Of trajectory b[i] its step k[i], as rows.
  struct Steps {
    Tensor state, action, log_prob, context;
  };
  Steps at(const std::vector<int64_t>& b, const std::vector<int64_t>& k) const;
};

/// Trajectories from x_0 drawn from `generator`; of `shape` [B, ..]. Nothing is recorded.
Trajectories rollout(const SamplerPolicy& policy, const PolicyNetwork& network, const Shape& shape, const Tensor& context = {},
                     Generator& generator = default_generator(), Device device = {});

/// Samples without the last step's noise.
Tensor sample_policy(const SamplerPolicy& policy, const PolicyNetwork& network, const Shape& shape, const Tensor& context = {},
                     Generator& generator = default_generator(), Device device = {});

}  // namespace plumb::diffusion
