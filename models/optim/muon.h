// Muon.
#pragma once
#include "models/optim/adam.h"

namespace plumb::optim {

struct MuonOptions {
  double lr = 0.02;
  double momentum = 0.95;
  bool nesterov = true;
  double weight_decay = 0;        ///< decoupled
  int newton_schulz_steps = 5;
  bool orthogonal = true;         ///< false: this whole group goes to AdamW (embeddings, the output layer)
  AdamWOptions adamw = {};        ///< for what is no matrix
  void check() const;
};

/// G → the nearest matrix with singular values near 1 (U Vᵀ of G = U Σ Vᵀ), by `steps` of the quintic iteration
///   X ← a X + (b A + c A²) X,  A = X Xᵀ,  (a, b, c) = (3.4445, −4.7750, 2.0315)
/// from X = G / |G|. G [.., m, n], of floating type; singular values end between about 0.7 and 1.2.
Tensor newton_schulz(const Tensor& g, int steps = 5);

/// Muon (Jordan et al. 2024), for matrices [out, ..] (further dimensions are merged):
///   m ← μ m + (1 − μ) g,   u = (1 − μ) g + μ m (Nesterov) or m,   p ← (1 − lr·λ) p − lr · √max(1, rows/columns) · newton_schulz(u)
/// Parameters of rank 0 and 1 take AdamW's update with its own options; its learning rate is scaled by the schedule too.
class Muon : public GroupedOptimizer<MuonOptions> {
 public:
  using GroupedOptimizer::GroupedOptimizer;

 protected:
  void update(std::span<Slot* const> slots) override;
  std::vector<std::string> state_names() const override { return {"momentum", "exp_avg", "exp_avg_sq"}; }
  double rate(const Slot& slot) override;

 private:
  bool orthogonal(const Slot& slot) const { return options_of(slot).orthogonal && slot.parameter.rank() >= 2; }
  void update_matrix(Slot& slot);
};

}  // namespace plumb::optim
