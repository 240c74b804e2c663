// Which (query, document) pairs of a noisy collection belong together, by the similarities that a proxy embedder gives (Suresh et al.,
// CoRNStack, ICLR 2025, section 3): the document must be near to its query, and nearer than almost all others.
#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::retrieval {

/// How a pair's own document stands among those it was compared with.
struct PositiveScores {
  std::vector<int64_t> rank;  ///< #{ j : S_ij > S_ii }: 0 is the best, ties do not count against it
  std::vector<double> score;  ///< S_ii
};

/// Of similarities S [n, n], row i the query and column i the document of pair i. With `both_directions` the rank is the larger of that
/// among documents and that of query i among queries, #{ j : S_ji > S_ii }. Throws ShapeError unless S is square, ValueError for a NaN.
PositiveScores positive_scores(const Tensor& similarity, bool both_directions = false);

/// The same with pairs compared only within random parts of `shard` pairs (the last ones a little larger or smaller), similarity(places)
/// being S [m, m] of those pairs. A rank depends on how many it was found among: below 2 among 100 is looser than among 100,000. Throws
/// ValueError for shard < 2 or no pairs.
PositiveScores sharded_positive_scores(int64_t pairs, int64_t shard,
                                       const std::function<Tensor(const std::vector<int64_t>& places)>& similarity, Generator& generator,
                                       bool both_directions = false);

struct ConsistencyOptions {
  int64_t max_rank = 2;    ///< keeps ranks below it
  double min_score = 0.7;  ///< δ: keeps scores above it
};
/// The dual consistency filter: bool [n], true where rank_i < max_rank and S_ii > min_score. Throws ValueError for max_rank < 1 or if no
/// pair is left.
Tensor consistency_filter(const PositiveScores& scores, const ConsistencyOptions& options = {});
Tensor consistency_filter(const Tensor& similarity, const ConsistencyOptions& options = {});

/// The `q` quantile (by linear interpolation) of the scores of pairs with rank below max_rank: a δ that leaves out a known share of them.
/// Throws ValueError unless 0 ≤ q ≤ 1, or if no rank is below.
double passing_score_quantile(const PositiveScores& scores, int64_t max_rank, double q);

}  // namespace plumb::retrieval
