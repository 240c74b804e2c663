// Self-supervised learning for large-scale item recommendations (Yao et al., CIKM 2021): beside learning from clicks, which most items of a
// catalogue have none of, two views of the same item that show different features must agree.
#pragma once
#include <cstdint>
#include <vector>

#include "engine/core/generator.h"
#include "engine/core/tensor.h"
#include "engine/data/recommendation.h"

namespace plumb::methods::item_ssl {

// -- losses ---------------------------------------------------------------------------------------------------
// Rows are compared by their cosine; a row of zeros has cosine 0 with everything.

struct BatchSoftmaxOptions {
  Tensor log_q;  ///< [B], log of the probability with which each item comes into a batch, subtracted from its column; undefined: nothing
  Tensor item;        ///< i64 [B]: columns j ≠ i with row i's own item leave its denominator; undefined: all stay
};
/// −1/B Σ_i log [ e^(cos(q_i, x_i)/τ) / Σ_j e^(cos(q_i, x_j)/τ) ] (eq. 2 with in-batch negatives): queries and items [B, D]. Throws
/// ShapeError, ValueError for τ ≤ 0, no rows, or a log_q that is not finite (an item never seen in training).
Tensor batch_softmax_loss(const Tensor& queries, const Tensor& items, double tau, const BatchSoftmaxOptions& options = {});

/// −1/N Σ_i log [ e^(cos(z1_i, z2_i)/τ) / Σ_j e^(cos(z1_i, z2_j)/τ) ] (eq. 1), one direction: the views of N items, [N, D]. Throws
/// ShapeError, ValueError for τ ≤ 0 or no rows.
Tensor item_ssl_loss(const Tensor& z1, const Tensor& z2, double tau);

/// Σ_{i ≠ j} cos(x_i, x_j)² / (N (N − 1)): spread-out regularisation (Zhang et al., ICCV 2017), a baseline. Throws ValueError for N < 2.
Tensor spread_out_loss(const Tensor& x);

/// log(counts[i] / Σ counts) of the items of a batch, f32. Throws IndexError for an item outside the catalogue, ValueError for one that was
/// never seen.
Tensor log_probabilities(const std::vector<int64_t>& counts, const std::vector<int64_t>& items);

// -- which features a view hides -----------------------------------------------------------------------------------

enum class FeatureMaskPattern : uint8_t {
  none,               ///< nothing is hidden
  rfm,                ///< each view hides a random half, ⌊k/2⌋ of k features, drawn apart
  rfm_complementary,  ///< the first view hides a random half, the second the rest
  cfm                 ///< the first hides a feature and those that tell most about it, the second the rest
};

/// true: hidden.
struct MaskPair {
  std::vector<bool> first, second;
};

/// Correlated feature masking: F = {seed} ∪ the n = min(⌊k/2⌋, k − 2) features of the largest mutual information with it, of equal ones the
/// earlier; the first view hides F, the second all others. So what tells of each other is never in different views.
class CorrelatedMask {
 public:
  /// mi [k][k], of which the diagonal is not read. `unranked` features (an item's number, which determines all others) have no place in the
  /// order of mutual information: each draw puts them at random ones. Throws ValueError for k < 2 or a NaN, ShapeError unless it is square,
  /// IndexError for an unranked feature outside [0, k).
  explicit CorrelatedMask(std::vector<std::vector<double>> mi, std::vector<int64_t> unranked = {});
  /// The pair for this seed feature; `generator` places the unranked ones.
  MaskPair around(int64_t seed, Generator& generator) const;
  /// around() a feature drawn uniformly.
  MaskPair draw(Generator& generator) const;
  int64_t features() const { return static_cast<int64_t>(mi_.size()); }

 private:
  std::vector<int64_t> ranking(int64_t seed, Generator& generator) const;
  std::vector<std::vector<double>> mi_;
  std::vector<bool> unranked_;
};

/// The pair of a batch of items with k features. cfm takes `correlated`. Throws ValueError for k < 2 (but for none), or cfm without it or
/// with one of other features.
MaskPair draw_masks(FeatureMaskPattern pattern, int64_t features, const CorrelatedMask* correlated, Generator& generator);

/// Mutual information in nats of each pair of features over training examples: an item counts as often as weights says (empty: once). Of a
/// feature with several values one is drawn evenly; an item without values has a value of its own. Throws as metrics::mutual_information.
std::vector<std::vector<double>> mutual_information_table(const std::vector<data::ItemFeature>& features, int64_t items,
                                                          const std::vector<double>& weights = {});

/// `count` different numbers of [0, n), in the order in which they are drawn: what is uniform over the catalogue, not over clicks, and has
/// no false negatives. Takes time ∝ count, whatever n. Throws ValueError unless 0 ≤ count ≤ n.
std::vector<int64_t> sample_items(int64_t n, int64_t count, Generator& generator);

}  // namespace plumb::methods::item_ssl
