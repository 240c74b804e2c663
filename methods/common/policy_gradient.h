// Policy gradients: the clipped loss, advantages per prompt, and REBEL. Whatever draws the actions (a sampler of images, a language model),
// these take its log-probabilities and rewards.
#pragma once
#include <cstdint>
#include <deque>
#include <map>
#include <vector>

#include "engine/core/tensor.h"

namespace plumb::methods {

/// mean max(−A ρ, −A clip(ρ, 1 − ε, 1 + ε)), ρ = exp(logp − logp_old) (PPO: Schulman et al. 2017): a scalar. No gradient goes to logp_old
/// and A. All [B]. Throws ShapeError for other shapes, ValueError unless ε > 0.
Tensor ppo_clip_loss(const Tensor& log_prob, const Tensor& old_log_prob, const Tensor& advantage, double epsilon);

/// REBEL (Gao et al. 2024) on pairs of trajectories of one prompt: mean (β (Λ₁ − Λ₂) − (A₁ − A₂))², Λ = Σ_k (logp − logp_old) of a
/// trajectory. All [B]. Throws ShapeError for other shapes, ValueError unless β > 0.
Tensor rebel_loss(const Tensor& log_ratio1, const Tensor& log_ratio2, const Tensor& advantage1, const Tensor& advantage2, double beta = 1);

/// Rewards as advantages by the statistics of their own prompt: A = (r − mean)/(std + 1e-6), std with n in the denominator. New rewards are
/// put into the prompt's buffer of the last `buffer` ones first; where it then holds fewer than `min_count`, the batch's own mean and std
/// count.
class PerKeyAdvantage {
 public:
  /// Throws ValueError unless 1 ≤ min_count ≤ buffer.
  explicit PerKeyAdvantage(int64_t buffer = 32, int64_t min_count = 16);
  /// One reward and one key (a prompt's text, or the number of a class: never a place in the batch) an example, clamped to ±clip.
  /// Throws ValueError for a reward that is not finite or a batch of 0, ShapeError for another number of keys.
  std::vector<double> operator()(const std::vector<double>& rewards, const std::vector<int64_t>& keys, double clip = 10);
  /// The rewards held of a key, oldest first.
  std::vector<double> held(int64_t key) const;

 private:
  int64_t buffer_, min_count_;
  std::map<int64_t, std::deque<double>> held_;
};

}  // namespace plumb::methods
