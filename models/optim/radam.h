// RAdam.
#pragma once
#include "models/optim/optimizer.h"

namespace plumb::optim {

struct RAdamOptions {
  double lr = 1e-3;
  double beta1 = 0.9, beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;
  bool decoupled = false;  ///< weight decay as in AdamW
  void check() const;
};

/// RAdam (Liu et al., ICLR 2020): Adam whose adaptive step waits until the variance of 1/√v̂ can be trusted. With
///   ρ∞ = 2/(1 − β₂) − 1,   ρ = ρ∞ − 2t β₂ᵗ/(1 − β₂ᵗ),   r = √((ρ − 4)(ρ − 2) ρ∞ / ((ρ∞ − 4)(ρ∞ − 2) ρ))
/// p ← p − lr · r · m̂ √(1 − β₂ᵗ) / (√v + ε) if ρ > 5, else p ← p − lr · m̂.
class RAdam : public GroupedOptimizer<RAdamOptions> {
 public:
  using GroupedOptimizer::GroupedOptimizer;

 protected:
  void update(std::span<Slot* const> slots) override;
  bool is_fused() const override { return true; }
  std::vector<std::string> state_names() const override { return {"exp_avg", "exp_avg_sq"}; }
};

}  // namespace plumb::optim
