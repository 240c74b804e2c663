// Experts shared out over processes: each keeps a few, and tokens travel to theirs and back.
#pragma once
#include "engine/dist/communicator.h"
#include "models/moe/feed_forward.h"

namespace plumb::moe {

/// Leaves process r of P the experts parallel::rows_of(E, r, P) of `layer`, whose weights become [those, ..]; everything else stays on all.
/// From then on the layer is called by all processes together, forward and backward, each with its own tokens of a batch, process 0 with
/// the first: y is what one process gives with all tokens, capacity and expert choice included, as far as nothing is drawn; in evaluation
/// what it gives with its own. The gradients of a process's experts are then complete; those of the router are to be summed over processes,
/// as in data parallel training (GradientBuckets of all other parameters). The losses of balance are exact in the mean over processes with
/// equally many tokens. Call it on the device where the layer stays (between GPUs rows travel by NCCL), before optimisers are made.
/// Throws ConfigError for more processes than experts, and for a layer that is shared out already; DeviceError for a GPU without NCCL.
void share_out_experts(MoeFeedForward& layer, dist::Communicator& processes);
/// Every layer of `model`. Which parameters are parts from then on says parallel::sharded_parameters.
void share_out_experts_of(nn::Module& model, dist::Communicator& processes);
/// Σ_r x_r of vectors x [n]; differentiable, where every process goes on with the sum. Done by all.
Tensor sum_across(const Tensor& x, dist::Communicator& processes);

/// route_tokens for the tokens of all processes, process 0's first, as far as they are this one's; chosen_by_all counts them all. Token
/// numbers may differ.
Routing route_tokens_across(const Tensor& expert, const Tensor& weight, int64_t experts, int64_t capacity, dist::Communicator& processes);
/// Expert choice among the tokens of all processes: each expert takes the `each` most probable, of which these are this process's.
/// probability [N, E], N alike on all.
Routing choose_tokens_across(const Tensor& probability, int64_t each, dist::Communicator& processes);
/// experts(rows) where each process has some of them: rows [A, width] in the order of the routing's pairs → [A, width].
Tensor run_across(const Experts& experts, const Tensor& rows, const Routing& routing, dist::Communicator& processes);

}  // namespace plumb::moe
