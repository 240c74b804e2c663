// Mined hard negatives: for each query the documents that look right and are not, drawn the harder the longer training goes on
// (Suresh et al., CoRNStack, ICLR 2025, section 3).
#pragma once
#include <cstdint>
#include <vector>

#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::retrieval {

struct CandidateOptions {
  double gamma = 0.95;            ///< documents with S_ij ≥ γ S_ii may answer the query as well, and are no negatives; in (0, 1]
  bool drop_false = true;         ///< whether γ is used at all
  int64_t most = 0;               ///< the nearest so many alone; 0: all
  std::vector<int64_t> document;  ///< a number for each one's content: those equal to the positive are left out; empty: all differ
};
/// For each row i of similarities S [n, m] whose own document is column i (n ≤ m) the columns j ≠ i with S_ij < γ S_ii, best first, of
/// equal ones the earlier. γ multiplies the positive's score, so that of a negative one it would loosen the test: filter the pairs first.
/// Throws ShapeError, ValueError for γ outside (0, 1], most < 0 or a NaN.
std::vector<std::vector<int64_t>> negative_candidates(const Tensor& similarity, const CandidateOptions& options = {});

/// τ(s) at training progress s in [0, 1]: from `start` down to `end`, max + s (min − max) or, geometric, max (min / max)^s.
struct TemperatureSchedule {
  double start = 0.05, end = 0.001;
  bool geometric = false;
  /// s outside [0, 1] counts as the nearer end.
  double operator()(double s) const;
};

/// exp(S_j / τ) / Σ exp(S_k / τ): with which probability a candidate is the first one drawn. τ = 0: the largest, shared among equal ones;
/// τ = ∞: all alike. Throws ValueError for a negative τ or no scores.
std::vector<double> negative_probabilities(const std::vector<double>& scores, double temperature);
/// `count` distinct places, as if drawn one after the other from the probabilities of what is left: the largest of S_j / τ + g_j, g Gumbel
/// (Kool et al., ICML 2019), in falling order. With τ = 0 the largest scores, of equal ones the earlier. All of them if there are fewer.
/// Throws ValueError for a negative τ or count.
std::vector<int64_t> sample_without_replacement(const std::vector<double>& scores, int64_t count, double temperature, Generator& generator);

constexpr int64_t kNoDocument = -1;  ///< where a query has fewer candidates than negatives are wanted

/// Draws H negatives a query.
class HardNegativeSampler {
 public:
  /// `similarity` [n, m] and `candidates` as negative_candidates gives them. Throws ValueError for negatives < 0 or temperatures that are
  /// negative or rise, ShapeError for another number of rows, IndexError for a candidate that is no column.
  HardNegativeSampler(const Tensor& similarity, std::vector<std::vector<int64_t>> candidates, int64_t negatives,
                      TemperatureSchedule schedule = {});
  /// H columns; kNoDocument where there are no more candidates. Throws IndexError for a row outside [0, n).
  std::vector<int64_t> operator()(int64_t row, double progress, Generator& generator) const;
  int64_t negatives() const { return negatives_; }
  const std::vector<std::vector<int64_t>>& candidates() const { return candidates_; }

 private:
  std::vector<std::vector<int64_t>> candidates_;
  std::vector<std::vector<double>> scores_;  // of the candidates
  int64_t negatives_;
  TemperatureSchedule schedule_;
};

/// The documents of a batch of B queries, [d_0, n_01 … n_0H, d_1, …], and which of them count for which query.
struct RankingBatch {
  std::vector<int64_t> document;  ///< B (H + 1)
  Tensor label;                   ///< i64 [B]: i (H + 1)
  Tensor allowed;                 ///< bool [B, B (H + 1)]
};
/// positives [B], negatives of each (H of them, kNoDocument where there is none, then the positive stands in its place and counts for
/// nobody). `content` as CandidateOptions::document: where it is given, other columns with the query's own document do not count. Throws
/// ShapeError for lists of different lengths, IndexError for a document without content.
RankingBatch ranking_batch(const std::vector<int64_t>& positives, const std::vector<std::vector<int64_t>>& negatives,
                           const std::vector<int64_t>& content = {});

}  // namespace plumb::retrieval
