// Any-order autoregressive models of discrete vectors: one network that knows p(x_j | any known part), its loss, likelihood and samples
// (Uria, Murray & Larochelle, ICML 2014; Hoogeboom et al., ICLR 2022). Absorbing discrete diffusion has the same loss.
//
// A vector holds D symbols, i64 [B, D]: 1 … K, or 0 for one that is missing. An order is told by ranks, i64 [B, D]: rank[b, j] is the place
// of variable j in the order of row b, so the variables known after d steps are those with rank < d.
#pragma once
#include <functional>
#include <string>

#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::any_order {

/// x [B, D] → logits [B, D, K] of every variable given the known ones; those of known variables are not read.
using Conditionals = std::function<Tensor(const Tensor& x)>;

/// Throws ShapeError unless x is i64 [B, D], ValueError for a symbol outside 0 … K (1 … K where nothing may be missing). `op` is named.
void check_symbols(const std::string& op, const Tensor& x, int64_t symbols, bool may_miss = true);
/// Throws ShapeError unless rank has x's shape, ValueError unless each of its rows is a permutation of 0 … D − 1.
void check_ranks(const std::string& op, const Tensor& x, const Tensor& rank);

/// A uniformly random order a row.
Tensor random_ranks(int64_t rows, int64_t variables, Generator& generator = default_generator());
/// 0, 1, …, D − 1 in every row.
Tensor forward_ranks(int64_t rows, int64_t variables);
/// A random order a row in which the known variables of x come first.
Tensor ranks_from_known(const Tensor& x, Generator& generator = default_generator());

/// x with all variables of rank ≥ count missing; count one number for all rows, or i64 [B].
Tensor keep_first(const Tensor& x, const Tensor& rank, int64_t count);
Tensor keep_first(const Tensor& x, const Tensor& rank, const Tensor& count);
/// The variable that has this rank in each row: i64 [B]. place one number, or i64 [B].
Tensor variable_at(const Tensor& rank, int64_t place);
Tensor variable_at(const Tensor& rank, const Tensor& place);
/// log softmax(logits[b, variable_b])[x[b, variable_b] − 1]: [B]. The symbols read must not be missing.
Tensor log_probability_at(const Tensor& logits, const Tensor& x, const Tensor& variable);

/// −D/(D − t) Σ_{rank_j ≥ t} log p(x_j | x of rank < t), t i64 [B] in 0 … D − 1: [B]. Over uniform t and orders its mean is the mean over
/// orders of −log p(x). Throws ValueError for missing symbols, ranks that are no permutation or a t outside its range.
Tensor losses(const Conditionals& model, const Tensor& x, const Tensor& rank, const Tensor& t);

/// Σ_d log p(x_σ(d) | x_σ(<d)) along the orders `rank`, D calls of the model: [B]. Recorded for backward as any operation.
Tensor log_likelihood(const Conditionals& model, const Tensor& x, const Tensor& rank);
/// log of the mean over `orders` random orders of the likelihood: [B]. Nothing is recorded. Throws ValueError for orders < 1.
Tensor log_likelihood(const Conditionals& model, const Tensor& x, int64_t orders, Generator& generator = default_generator());

struct Filled {
  Tensor x;         ///< i64 [B, D], nothing missing
  Tensor log_prob;  ///< [B], Σ over the variables that were drawn of log p(x_j | what was known when it was)
};
/// Draws the missing variables of x one at a time, in the order of their ranks, given all that is known. Nothing is recorded.
Filled fill(const Conditionals& model, const Tensor& x, const Tensor& rank, Generator& generator = default_generator());
/// The `count` variables of highest rank erased and drawn again. Throws ValueError unless 0 ≤ count ≤ D.
Tensor redraw(const Conditionals& model, const Tensor& x, const Tensor& rank, int64_t count, Generator& generator = default_generator());

}  // namespace plumb::any_order
