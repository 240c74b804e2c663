// Adagrad.
#pragma once
#include "models/optim/optimizer.h"

namespace plumb::optim {

struct AdagradOptions {
  double lr = 1e-2;
  double lr_decay = 0;
  double eps = 1e-10;
  double weight_decay = 0;
  double initial_accumulator = 0;
  void check() const;
};

/// Adagrad (Duchi et al., JMLR 2011):   g ← g + λ p,   s ← s + g²,   p ← p − lr / (1 + (t − 1)·lr_decay) · g / (√s + ε)
class Adagrad : public GroupedOptimizer<AdagradOptions> {
 public:
  using GroupedOptimizer::GroupedOptimizer;

 protected:
  void update(std::span<Slot* const> slots) override;
  bool is_fused() const override { return true; }
  std::vector<std::string> state_names() const override { return {"sum"}; }
};

}  // namespace plumb::optim
