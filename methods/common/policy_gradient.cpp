// Losses of log-probabilities, and advantages.
#include "methods/common/policy_gradient.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"

namespace plumb::methods {
namespace {

void check_alike(const char* op, const std::vector<Tensor>& numbers) {
  for (const Tensor& x : numbers)
    if (x.rank() != 1 || x.numel() == 0 || x.shape() != numbers[0].shape())
      throw ShapeError(std::string(op) + ": takes one number an example, got " + to_string(numbers[0].shape()) + " and " +
                       to_string(x.shape()));
}

struct Statistics {
  double mean = 0, std = 0;
};

// About the first value, so that values that are all the same have exactly that mean and no deviation.
template <typename Range>
Statistics statistics(const Range& values) {
  Statistics s;
  auto n = static_cast<double>(values.size());
  double first = values.front(), above = 0;
  for (double v : values) above += v - first;
  s.mean = first + above / n;
  for (double v : values) s.std += (v - s.mean) * (v - s.mean) / n;
  s.std = std::sqrt(s.std);
  return s;
}

}  // namespace

Tensor ppo_clip_loss(const Tensor& log_prob, const Tensor& old_log_prob, const Tensor& advantage, double epsilon) {
  check_alike("ppo_clip_loss", {log_prob, old_log_prob, advantage});
  if (!(epsilon > 0)) throw ValueError("ppo_clip_loss: epsilon must be positive, it is " + decimal(epsilon));
  Tensor ratio = exp(log_prob - old_log_prob.detach()), against = -advantage.detach();
  return mean(maximum(against * ratio, against * clamp(ratio, 1 - epsilon, 1 + epsilon)));
}

Tensor rebel_loss(const Tensor& log_ratio1, const Tensor& log_ratio2, const Tensor& advantage1, const Tensor& advantage2, double beta) {
  check_alike("rebel_loss", {log_ratio1, log_ratio2, advantage1, advantage2});
  if (!(beta > 0)) throw ValueError("rebel_loss: beta must be positive, it is " + decimal(beta));
  return mean(square((log_ratio1 - log_ratio2) * beta - (advantage1 - advantage2).detach()));
}

PerKeyAdvantage::PerKeyAdvantage(int64_t buffer, int64_t min_count) : buffer_(buffer), min_count_(min_count) {
  if (min_count < 1 || buffer < min_count)
    throw ValueError("advantage: needs 1 <= min_count <= buffer, got " + std::to_string(min_count) + " and " + std::to_string(buffer));
}

std::vector<double> PerKeyAdvantage::operator()(const std::vector<double>& rewards, const std::vector<int64_t>& keys, double clip) {
  if (rewards.empty()) throw ValueError("advantage: there are no rewards");
  if (rewards.size() != keys.size())
    throw ShapeError("advantage: " + std::to_string(rewards.size()) + " rewards and " + std::to_string(keys.size()) + " keys");
  for (double r : rewards)
    if (!std::isfinite(r)) throw ValueError("advantage: rewards must be finite, one is " + decimal(r));
  for (size_t i = 0; i < rewards.size(); ++i) {
    std::deque<double>& held = held_[keys[i]];
    held.push_back(rewards[i]);
    if (static_cast<int64_t>(held.size()) > buffer_) held.pop_front();
  }
  Statistics batch = statistics(rewards);
  std::vector<double> advantages;
  for (size_t i = 0; i < rewards.size(); ++i) {
    const std::deque<double>& held = held_[keys[i]];
    Statistics s = static_cast<int64_t>(held.size()) < min_count_ ? batch : statistics(held);
    advantages.push_back(std::clamp((rewards[i] - s.mean) / (s.std + 1e-6), -clip, clip));
  }
  return advantages;
}

std::vector<double> PerKeyAdvantage::held(int64_t key) const {
  auto found = held_.find(key);
  return found == held_.end() ? std::vector<double>{} : std::vector<double>(found->second.begin(), found->second.end());
}

}  // namespace plumb::methods
