// Lion.
#pragma once
#include "models/optim/optimizer.h"

namespace plumb::optim {

struct LionOptions {
  double lr = 1e-4;
  double beta1 = 0.9, beta2 = 0.99;
  double weight_decay = 0;
  void check() const;
};

/// Lion (Chen et al., NeurIPS 2023):   p ← (1 − lr·λ) p − lr · sign(β₁ m + (1 − β₁) g),   m ← β₂ m + (1 − β₂) g
class Lion : public GroupedOptimizer<LionOptions> {
 public:
  using GroupedOptimizer::GroupedOptimizer;

 protected:
  void update(std::span<Slot* const> slots) override;
  bool is_fused() const override { return true; }
  std::vector<std::string> state_names() const override { return {"exp_avg"}; }
};

}  // namespace plumb::optim
