// Stochastic gradient descent.
#pragma once
#include "models/optim/optimizer.h"

namespace plumb::optim {

struct SgdOptions {
  double lr = 1e-2;
  double momentum = 0;
  double dampening = 0;
  double weight_decay = 0;
  bool nesterov = false;  ///< needs momentum > 0 and no dampening
  void check() const;
};

/// g ← g + λ p,   b ← μ b + (1 − dampening) g (at the first update b = g),   p ← p − lr · b;   Nesterov: p ← p − lr (g + μ b)
/// (Sutskever et al., ICML 2013). Without momentum p ← p − lr · g, and no state.
class SGD : public GroupedOptimizer<SgdOptions> {
 public:
  using GroupedOptimizer::GroupedOptimizer;

 protected:
  void update(std::span<Slot* const> slots) override;
  bool is_fused() const override { return true; }
  std::vector<std::string> state_names() const override { return {"momentum"}; }
};

}  // namespace plumb::optim
