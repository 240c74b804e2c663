// SimMatchV2's graph: what nodes (class probabilities and unit embeddings) and edges (their similarities) say of one another, and the
// memories of labelled and unlabelled nodes.
#pragma once
#include "engine/core/generator.h"
#include "methods/common/per_sample.h"

namespace plumb::methods::simmatchv2 {

/// M = (1 − α)(I − αA)⁻¹ for features [N, m, d] of unit length, A = row-softmax(K Kᵀ / t) without its diagonal: [N, m, m], f64. Rows sum
/// to 1. Throws ValueError for t ≤ 0, α outside [0, 1), features that are not of unit length within 1e-3; ShapeError for another rank or m
/// < 2. Outside the graph, as all that propagates.
Tensor propagation_matrix(const Tensor& features, double temperature, double alpha);
/// The first row of each, [N, m], by one linear system.
Tensor propagation_weights(const Tensor& features, double temperature, double alpha);

/// Label propagation from labelled neighbours: ŷ = (M [p; labels])_0 for each query, query_feat [N, d], query_prob [N, C], nbr_feat [N, n,
/// d], nbr_label [N, n, C] one-hot → [N, C], of query_prob's type; α = 0 gives p. Throws as propagation_matrix; ValueError for labels that
/// are not one-hot; ShapeError for sizes that differ.
Tensor propagate_labels(const Tensor& query_feat, const Tensor& query_prob, const Tensor& nbr_feat, const Tensor& nbr_label,
                        double temperature, double alpha);

/// The places of the n rows of bank [N_l, d] most similar to each row of z [N, d]: i64 [N, n]. Throws ValueError unless 1 ≤ n ≤ N_l.
Tensor nearest_rows(const Tensor& z, const Tensor& bank, int64_t n);

/// E = softmax(z bankᵀ / t) over the bank [Q, d]: [N, Q]. Throws ValueError for t ≤ 0 or rows of z that are not of unit length within 1e-3,
/// ShapeError for sizes that differ.
Tensor edge_distribution(const Tensor& z, const Tensor& bank, double temperature);
/// mean_j −Σ_q E'_jq log E_jq, E the edge distribution of z [N, d], and E' [N, Q] taken as a constant.
Tensor edge_edge_loss(const Tensor& z, const Tensor& bank, const Tensor& target_edges, double temperature);
/// mean_j −Σ_c p_jc log (E_j P)_c, P [Q, C] the bank's labels and p [N, C] taken as constants; by logarithms of sums of exponentials
/// throughout. Throws ValueError for rows of P or p that do not sum to 1 within 1e-4.
Tensor node_edge_loss(const Tensor& z, const Tensor& bank, const Tensor& bank_labels, const Tensor& target_probs, double temperature);

/// One unit vector for every labelled example, by its index; random until it is put.
class IndexedBank {
 public:
  IndexedBank(int64_t samples, int64_t width, Generator& generator);
  void put(const Tensor& index, const Tensor& rows) { rows_.put(index, rows); }
  const Tensor& table() const { return rows_.table(); }  ///< [samples, width]

 private:
  PerSampleStore rows_;
};

/// The newest `capacity` unlabelled nodes, first in, first out: a unit vector and class probabilities each. At the start random vectors
/// with probabilities 1 / C.
class NodeQueue {
 public:
  NodeQueue(int64_t capacity, int64_t width, int64_t classes, Generator& generator);
  /// Throws ShapeError for rows that do not fit, ValueError for a batch that does not divide the capacity.
  void push(const Tensor& rows, const Tensor& probabilities);
  Tensor embeddings() const;     ///< [capacity, width], oldest first
  Tensor probabilities() const;  ///< [capacity, classes]
  int64_t capacity() const { return nodes_.capacity(); }

 private:
  FeatureQueue nodes_;  // side by side
  int64_t width_, classes_;
};

}  // namespace plumb::methods::simmatchv2
