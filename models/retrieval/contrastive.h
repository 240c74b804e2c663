// Training an encoder to rank: InfoNCE of queries against their own, the others' and mined documents, batches larger than memory, and the
// nearest documents of a query.
#pragma once
#include <cstdint>
#include <functional>

#include "engine/core/tensor.h"
#include "ops/reduce.h"

namespace plumb::retrieval {

struct RankingLossOptions {
  double scale = 50;  ///< 1 / t: logits are cosines times it
  Tensor log_scale;   ///< learned, one number: the scale is e^log_scale instead, at most 100, and has no slope beyond; undefined: fixed
  bool bidirectional = false;  ///< averages with the loss of the B labelled documents against the queries
  Tensor allowed;              ///< bool [B, M], which documents are in a query's denominator; its own must be. Undefined: all
};
/// −1/B Σ_i log [ e^(scale cos(q_i, d_label_i)) / Σ_{j allowed} e^(scale cos(q_i, d_j)) ] of queries [B, D], documents [M, D] and label i64
/// [B]: info_nce (ops/loss.h) with rectangular logits. Throws ShapeError, IndexError for a label outside [0, M), ValueError for a row
/// without a direction (zeros, or not finite), a scale that is not positive, or a query whose own document is not allowed.
Tensor ranking_info_nce(const Tensor& queries, const Tensor& documents, const Tensor& label, const RankingLossOptions& options = {});

/// encode(begin, end) for `chunk` rows at a time, joined to [rows, D]; each chunk's activations are dropped and computed again, with the
/// same random numbers, when its gradient is there (checkpoint), so that one chunk's alone are in memory: GradCache (Gao et al., RepL4NLP
/// 2021). The loss sees all embeddings at once, and its gradients are those without it. Throws ValueError for no rows or chunk < 1.
Tensor cached_embeddings(int64_t rows, int64_t chunk, const std::function<Tensor(int64_t begin, int64_t end)>& encode);

/// The k largest cosines of each query [n, D] and their documents [m, D], best first, both [n, k], of equal ones the earlier document;
/// `block` documents are compared at once. Throws ShapeError, ValueError unless 1 ≤ k ≤ m and block ≥ 1.
ValuesAndIndices nearest_documents(const Tensor& queries, const Tensor& documents, int64_t k, int64_t block = 4096);
/// cos(q_i, d_j), [n, m].
Tensor cosine_matrix(const Tensor& queries, const Tensor& documents);

}  // namespace plumb::retrieval
