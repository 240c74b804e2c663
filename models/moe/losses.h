// Losses that keep experts in use and gates in range. Each is a scalar for one layer's routing; training adds a multiple to its own loss.
// Where experts are shared out over processes (expert_parallel.h) those that count tokens count the tokens of all, and are called by all
// together.
#pragma once
#include <vector>

#include "models/moe/routing.h"

namespace plumb::moe {

/// E Σ_i f_i P_i: f_i the share of pairs asked of expert i (no gradient), P_i its mean probability. 1 when both are even
/// (GShard, Lepikhin et al. 2021; Switch, Fedus et al. 2022, eq. 4–6). Throws ValueError for a router without a gate, as do all but
/// importance_loss.
Tensor load_balance_loss(const Routing& routing);
/// CV²(Σ_n G_ni): the squared coefficient of variation of the experts' summed weights (Shazeer et al. 2017, eq. 6–7).
Tensor importance_loss(const Routing& routing);
/// CV²(Σ_n P_ni): of a smooth count of the experts' tokens, P_ni = Φ((logits_ni − the k-th largest other noisy logit of n) / σ_ni) the
/// probability that expert i is among the k of token n when its noise is drawn again (Shazeer et al. 2017, eq. 8–10). Throws ValueError
/// unless the router is noisy and in training.
Tensor load_loss(const Routing& routing);
/// mean_n (log Σ_i exp logits_ni)²: keeps the gate's logits small (ST-MoE, Zoph et al. 2022, eq. 5).
Tensor router_z_loss(const Routing& routing);

/// What each loss is multiplied by; 0 leaves it out.
struct LossWeights {
  double balance = 0, importance = 0, load = 0, z = 0;
  bool any() const { return balance > 0 || importance > 0 || load > 0 || z > 0; }
};
/// The weighed losses of all layers added up, an f32 0 if there are none.
Tensor router_loss(const std::vector<Routing>& layers, const LossWeights& weights);

}  // namespace plumb::moe
