// The directions in which a model's predictions are most sensitive: leading eigenvectors of Fisher matrices, of rows of weights or of all
// parameters at once, and projections onto them.
#pragma once
#include <string>
#include <vector>

#include "methods/common/fisher.h"

namespace plumb::methods {

/// How many eigenvectors are kept.
struct SpaceOptions {
  int64_t rank = 0;  ///< this many; 0: the fewest whose eigenvalues reach `energy` of the sum, at most `most`
  double energy = 0.9;
  int64_t most = 32;
};

/// The leading eigenvalues [d] of a Fisher matrix, descending, and their eigenvectors, the columns of U [n, d]. P = U Uᵀ.
struct FisherSpace {
  Tensor values, vectors;
  int64_t rank() const { return values.numel(); }
  int64_t dimension() const { return vectors.size(0); }
  /// P x and x − P x, for x [n] or [n, ..]. Throws ShapeError for another first dimension.
  Tensor project(const Tensor& x) const;
  Tensor complement(const Tensor& x) const;
  /// The same vectors with values divided by the largest; as it is where that is 0.
  FisherSpace normalized() const;
};

/// Of a symmetric fisher [n, n]. Computed in f64, kept in its type. Throws ShapeError unless square, ValueError for a rank, or `most`,
/// below 1 or above n, and an energy outside (0, 1].
FisherSpace leading_space(const Tensor& fisher, const SpaceOptions& options = {});
/// Of F = (1/m) Σ_i g_i g_iᵀ for gradients [m, n], one a row, by their singular values: F is never formed. Throws as above, the rank being
/// at most min(m, n), and ValueError for no gradients.
FisherSpace leading_space_of(const Tensor& gradients, const SpaceOptions& options = {});

/// F = Σ_q w_q G_q G_qᵀ / Σ_q w_q for every weight, G_q = dL_q/dW as a matrix [rows, rest]: what changes of a row cost, whichever input
/// they are for. A change D of W within U's complement, from the left, leaves the measured predictions alone to first order.
class RowFisherAccumulator {
 public:
  /// The weights must require gradients when losses are made. Throws ValueError for none.
  explicit RowFisherAccumulator(std::vector<Tensor> weights);
  /// One scalar loss. Throws as FisherAccumulator::add.
  void add(const Tensor& loss, double weight = 1, bool retain_graph = false);
  /// One [rows, rows] for each weight. Throws ValueError before any loss of positive weight.
  std::vector<Tensor> matrices() const;

 private:
  std::vector<Tensor> weights_, sums_;
  double weight_ = 0;
};

/// Of the losses that `options` make of the model's logits on `inputs`; what the model does in the call is recorded, so the weights must
/// require gradients. Throws as visit_fisher_losses does.
std::vector<Tensor> estimate_row_fisher(const TensorFunction& model, std::vector<Tensor> weights, const Tensor& inputs,
                                        const Tensor& labels = {},
                                        const FisherOptions& options = {.labels = FisherLabels::sampled, .unit = FisherUnit::sample});

}  // namespace plumb::methods
