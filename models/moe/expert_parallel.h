// Experts shared out over processes: each keeps a few, and tokens travel to theirs and back.
#pragma once
#include "engine/dist/communicator.h"
#include "models/moe/feed_forward.h"

namespace plumb::moe {

/// Leaves process r of P experts [r · E/P, (r + 1) · E/P) of `layer`, whose weights become [E/P, ..]; everything else stays on all. From
/// then on the layer is called by all processes together, forward and backward, each with its own tokens of a batch, process 0 with the first: y is
/// what one process gives with all tokens, capacity and expert choice included, as far as nothing is drawn. The gradients of a process's
/// experts are then complete; those of the router are to be summed over processes, as in data parallel training (GradientBuckets of dense_parameters).
/// load_balance_loss is exact in the mean over processes with equally many tokens; importance_loss and load_loss are of each process's own tokens.
/// Call it after a checkpoint is loaded and before optimisers are made. Throws ConfigError unless P divides E.
void share_out_experts(MoeFeedForward& layer, dist::Communicator& processes);
/// Parameters of `model` that all processes have: all but those of experts that were shared out.
std::vector<Tensor> dense_parameters(nn::Module& model);
/// The model's state with the experts of all processes, as one process has it: for checkpoints. Called by all together.
StateDict gathered_state(nn::Module& model);

/// route_tokens for the tokens of all processes, process 0's first, as far as they are this one's; chosen_by_all counts them all. Token numbers may differ.
Routing route_tokens_across(const Tensor& expert, const Tensor& weight, int64_t experts, int64_t capacity, dist::Communicator& processes);
/// Expert choice among the tokens of all processes: each expert takes the `each` most probable, of which these are this process's.
/// probability [N, E], N alike on all.
Routing choose_tokens_across(const Tensor& probability, int64_t each, dist::Communicator& processes);
/// experts(rows) where each process has some of them: rows [A, width] in the order of the routing's pairs → [A, width].
Tensor run_across(const Experts& experts, const Tensor& rows, const Routing& routing, dist::Communicator& processes);

}  // namespace plumb::moe
