// List-wise reranking: the first places of a ranking put in a better order by a model that sees query and document together.
#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include "models/mlp/mlp.h"

namespace plumb::retrieval {

/// The places of a window's documents in a better order, best first: a permutation of 0 … n − 1.
using Permute = std::function<std::vector<int64_t>(const std::vector<int64_t>& documents)>;

/// `ranking` (best first) after one pass of a window from its end to its beginning: the places [N − w, N) are put in order, then both ends
/// move up by `step`; the last window begins at 0 and may be shorter. The best w − step documents come first wherever they were (RankGPT,
/// Sun et al., EMNLP 2023). Throws ValueError unless 1 ≤ step ≤ window, or for what permute returns if that is no permutation.
std::vector<int64_t> sliding_window_rerank(std::vector<int64_t> ranking, int64_t window, int64_t step, const Permute& permute);
/// The permutation of documents with these scores: falling, of equal ones the earlier first.
std::vector<int64_t> order_by(const std::vector<double>& scores);

/// ListNet (Cao et al., ICML 2007), top one: mean over lists of −Σ_j softmax(teacher)_j log softmax(scores)_j; both [L, n], the teacher
/// constant. Throws ShapeError for others.
Tensor list_net_loss(const Tensor& scores, const Tensor& teacher);
/// RankNet over a teacher's order, best first (i64 [L, n], a permutation in each row): mean over lists of Σ_{a before b} log(1 + e^(s_b −
/// s_a)), scores [L, n]. Throws ShapeError for others, ValueError naming a row that is no permutation.
Tensor rank_net_loss(const Tensor& scores, const Tensor& order);

struct PairScorerConfig {
  int64_t width = 64;    ///< D of the embeddings
  int64_t features = 1;  ///< further numbers a pair, such as word overlap
  int64_t hidden = 64;
  /// Throws ConfigError naming what is out of range.
  void check() const;
};

/// A score for a query and a document together: an MLP of u ⊙ v, |u − v| (u and v their embeddings of length 1), cos(u, v) and further
/// features.
class PairScorer : public nn::Module {
 public:
  explicit PairScorer(const PairScorerConfig& config);
  /// query and document [.., D] of one shape, features [.., F] → [..]. Throws ShapeError for others.
  Tensor operator()(const Tensor& query, const Tensor& document, const Tensor& features) const;
  const PairScorerConfig& config() const { return config_; }

 private:
  PairScorerConfig config_;
  mlp::Mlp mlp_;
};

}  // namespace plumb::retrieval
