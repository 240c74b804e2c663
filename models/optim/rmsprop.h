// RMSprop.
#pragma once
#include "models/optim/optimizer.h"

namespace plumb::optim {

struct RmsPropOptions {
  double lr = 1e-2;
  double alpha = 0.99;
  double eps = 1e-8;
  double weight_decay = 0;
  double momentum = 0;
  bool centered = false;
  void check() const;
};

/// RMSprop (Tieleman & Hinton 2012):   g ← g + λ p,   v ← α v + (1 − α) g²,   p ← p − lr · g / (√v + ε)
/// With momentum μ: b ← μ b + g / (√v + ε), p ← p − lr · b. Centred (Graves 2013): v less the square of the running mean of g.
class RMSprop : public GroupedOptimizer<RmsPropOptions> {
 public:
  using GroupedOptimizer::GroupedOptimizer;

 protected:
  void update(std::span<Slot* const> slots) override;
  bool is_fused() const override { return true; }
  std::vector<std::string> state_names() const override { return {"square_avg", "momentum", "grad_avg"}; }
};

}  // namespace plumb::optim
