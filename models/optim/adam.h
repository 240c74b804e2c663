// Adam and AdamW.
#pragma once
#include <cmath>

#include "models/optim/optimizer.h"

namespace plumb::optim {

/// The constants of rule::Adam for update number `step`, with weight decay inside (coupled) or beside (decoupled) the gradient.
template <typename Options>
std::array<double, 8> adam_constants(const Options& o, double lr, int64_t step, double coupled, double decoupled) {
  double t = static_cast<double>(step), correction1 = 1 - std::pow(o.beta1, t), correction2 = 1 - std::pow(o.beta2, t);
  return {coupled, 1 - lr * decoupled, o.beta1, o.beta2, lr / correction1, 1 / std::sqrt(correction2), o.eps};
}

struct AdamOptions {
  double lr = 1e-3;
  double beta1 = 0.9, beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;
  void check() const;
};

/// Adam (Kingma & Ba, ICLR 2015), t the parameter's number of updates:
///   g ← g + λ p,   m ← β₁ m + (1 − β₁) g,   v ← β₂ v + (1 − β₂) g²,   p ← p − lr · m̂ / (√v̂ + ε),   m̂ = m / (1 − β₁ᵗ),  v̂ = v / (1 − β₂ᵗ)
class Adam : public GroupedOptimizer<AdamOptions> {
 public:
  using GroupedOptimizer::GroupedOptimizer;

 protected:
  void update(std::span<Slot* const> slots) override;
  std::vector<std::string> state_names() const override { return {"exp_avg", "exp_avg_sq"}; }
};

struct AdamWOptions {
  double lr = 1e-3;
  double beta1 = 0.9, beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0.01;
  void check() const;
};

/// AdamW (Loshchilov & Hutter, ICLR 2019): Adam whose weight decay is kept out of the moments, p ← (1 − lr·λ) p before the update.
class AdamW : public GroupedOptimizer<AdamWOptions> {
 public:
  using GroupedOptimizer::GroupedOptimizer;

 protected:
  void update(std::span<Slot* const> slots) override;
  std::vector<std::string> state_names() const override { return {"exp_avg", "exp_avg_sq"}; }
};

}  // namespace plumb::optim
