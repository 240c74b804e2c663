// Where tokens go: the plan that a router makes and the experts follow, what it costs the tokens, and what it looks like in numbers.
#pragma once
#include <vector>

#include "engine/core/tensor.h"
#include "engine/dist/communicator.h"

namespace plumb::moe {

/// Pairs of a token and an expert, sorted by expert: what one layer does with N tokens. Integers are i64.
struct Routing {
  int64_t tokens = 0, experts = 0;
  Tensor token;    ///< [A] of each pair: the token's row
  Tensor expert;   ///< [A] the expert, rising
  Tensor weight;   ///< [A] what the expert's result is multiplied by
  Tensor offsets;  ///< [E + 1] the pairs of expert e are offsets[e] … offsets[e + 1]
  Tensor chosen;   ///< [E] pairs that were asked for, those beyond an expert's capacity included

  /// [N, k] the pair of each token's choices, −1 beyond an expert's capacity; undefined where tokens have not all as many: pairs then find
  /// their way back by `token`.
  Tensor place = {};
  Tensor chosen_by_all = {};  ///< [E] where experts are shared out over processes: as chosen, of the tokens of all; undefined elsewhere
  dist::Communicator* processes = nullptr;  ///< those

  // What the gate said; undefined where a router has none.
  Tensor logits = {};                    ///< [N, E]
  Tensor probability = {};               ///< [N, E] rows sum to 1
  Tensor noisy_logits = {}, noise_deviation = {};  ///< [N, E] in training with noise: logits + noise, and the noise's standard deviation

  /// The same outside the graph.
  Routing detach() const;
};

/// Token choice: token n goes to expert[n, j] (i64 [N, k], k different ones) with weight[n, j]. Each expert takes at most `capacity` tokens
/// (0: all): first choices before second ones, earlier tokens before later ones. Throws IndexError for an expert outside [0, experts).
Routing route_tokens(const Tensor& expert, const Tensor& weight, int64_t experts, int64_t capacity = 0);
/// Expert choice: expert e takes the tokens token[e, j] (i64 [E, C]) with weight[e, j], of `tokens` in all.
Routing route_experts(const Tensor& token, const Tensor& weight, int64_t tokens);

/// The rows of x [N, width] in the order of the pairs: [A, width]; under Autocast those of f32 in the autocast type.
Tensor dispatch(const Tensor& x, const Routing& routing);
/// y_n = Σ weight_a · rows_a over the pairs a of token n: rows [A, width] → [N, width]; zero for a token without an expert.
Tensor combine(const Tensor& rows, const Routing& routing);

/// Numbers to watch.
struct RoutingStatistics {
  std::vector<double> share;  ///< of all pairs asked for, those of each expert; 1/E is even
  double evenness = 0;        ///< entropy of the shares / log E: 1 is even, 0 is one expert for all
  double dropped = 0;         ///< share of pairs beyond capacity
  double unrouted = 0;        ///< share of tokens that no expert takes
  double gate_entropy = 0;    ///< mean entropy of the gate's probabilities in nats; NaN without a gate
};
RoutingStatistics statistics(const Routing& routing);

}  // namespace plumb::moe
