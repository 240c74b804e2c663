// How well a ranking finds what is relevant: MRR, NDCG, recall, precision and MAP among the first k.
#pragma once
#include <cstdint>
#include <limits>
#include <vector>

#include "engine/core/tensor.h"

namespace plumb::metrics {

// scores [Q, D] rank D documents for each of Q queries, best first, of equal scores the earlier document; a document of score −∞ is not in
// the ranking at all (training items, say). relevance [Q, D] says what is relevant, > 0 (bool or graded). Means are over queries with a
// relevant document among those not left out; NaN if there is none. All throw ShapeError unless both are matrices of one shape, ValueError
// for k < 1 or a score that is NaN.
inline constexpr int64_t kAllRanks = std::numeric_limits<int64_t>::max();

/// The document at each place of a query's ranking.
std::vector<std::vector<int64_t>> rankings(const Tensor& scores);
/// Mean of 1 / place of the first relevant document, 0 if it is not among the first k.
double mean_reciprocal_rank(const Tensor& scores, const Tensor& relevance, int64_t k = kAllRanks);
/// Mean share of the relevant documents that are among the first k.
double recall_at_k(const Tensor& scores, const Tensor& relevance, int64_t k);
/// Mean share of queries with a relevant document among the first k.
double hit_rate_at_k(const Tensor& scores, const Tensor& relevance, int64_t k);
/// Mean share of k taken by relevant documents.
double precision_at_k(const Tensor& scores, const Tensor& relevance, int64_t k);
/// Mean of DCG / (DCG of the best order), DCG = Σ_{i ≤ k} g_i / log₂(1 + i), g the relevance at place i (Järvelin & Kekäläinen 2002).
/// For exponential gains pass 2^g − 1.
double ndcg_at_k(const Tensor& scores, const Tensor& relevance, int64_t k = kAllRanks);
/// Mean of Σ_{i ≤ k, relevant} precision@i / min(k, number of relevant documents).
double mean_average_precision(const Tensor& scores, const Tensor& relevance, int64_t k = kAllRanks);

}  // namespace plumb::metrics
