// Losses of deep metric learning: what brings embeddings of one class together and holds those of others apart.
#pragma once
#include <cstdint>

#include "engine/core/tensor.h"

namespace plumb::methods {

/// x_i / ‖x_i‖ for every row of [n, d]. Throws ShapeError for another shape, ValueError naming a row of zeros or one that is not finite.
Tensor unit_rows(const Tensor& x);

/// Which pairs i < j of labels i64 [n] have one label, and which two, bool [n, n]; false elsewhere. Throws ShapeError unless labels are a
/// vector.
struct PairMasks {
  Tensor same, different;
};
PairMasks pair_masks(const Tensor& labels);

// Similarities s [n, n] are cosines of a batch's embeddings, labels i64 [n]. Those of pairs throw ShapeError unless the shapes fit; a batch
// without pairs of a kind has no loss from them. Proxies [C, d] stand for classes, labels in [0, C): their losses take embeddings [n, d],
// bring both to length 1, and throw as unit_rows and IndexError for a label outside.

/// mean over all pairs of one label of max(0, m⁺ − s) + mean over all of two labels of max(0, s − m⁻): hard pairs or not.
Tensor contrastive_loss(const Tensor& similarity, const Tensor& labels, double positive_margin = 0.9, double negative_margin = 0.5);

struct MultiSimilarityOptions {
  double alpha = 2, beta = 50, base = 0.5;
  double margin = 0.1;  ///< of mining: positives below the hardest negative + margin, negatives above the hardest positive − margin
};
/// mean_i [ log(1 + Σ_{k ∈ P_i} e^(−α (s_ik − λ))) / α + log(1 + Σ_{k ∈ N_i} e^(β (s_ik − λ))) / β ] over mined pairs (Wang et al., CVPR
/// 2019).
Tensor multi_similarity_loss(const Tensor& similarity, const Tensor& labels, const MultiSimilarityOptions& options = {});

/// 1 − mean_i AP_i with ranks counted by σ(difference / τ) (Brown et al., ECCV 2020); anchors without a positive are left out. O(n³).
Tensor smooth_ap_loss(const Tensor& similarity, const Tensor& labels, double temperature = 0.01);

/// mean over proxies with positives in the batch of log(1 + Σ e^(−α (s − δ))) + mean over all proxies of log(1 + Σ e^(α (s + δ))) (Kim et
/// al., CVPR 2020).
Tensor proxy_anchor_loss(const Tensor& embeddings, const Tensor& labels, const Tensor& proxies, double alpha = 32, double margin = 0.1);

/// Cross-entropy of logits scale · (cos(z_i, proxy_c) − margin [c = y_i]): CosFace (Wang et al., CVPR 2018); without a margin the
/// normalised softmax.
Tensor cosine_softmax_loss(const Tensor& embeddings, const Tensor& labels, const Tensor& proxies, double scale = 16, double margin = 0);

}  // namespace plumb::methods
