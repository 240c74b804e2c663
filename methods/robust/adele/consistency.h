// ADELE's loss of a batch of segmentations seen at several scales: the cross-entropy of each, and how far each is from the mean of all
// where the mean is sure (Liu et al., CVPR 2022, section 3.3).
#pragma once
#include <vector>

#include "engine/core/tensor.h"
#include "ops/vision.h"

namespace plumb::methods::adele {

struct MultiScaleOptions {
  double rho = 0.8;          ///< an image counts in the consistency if its surest pixel reaches it
  double lambda = 1;         ///< weight of the consistency
  double clamp = 1e-3;       ///< the mean prediction is held within [clamp, 1 − clamp]
  bool logit_scale = false;  ///< as the released code: each scale's logits times its weight in the cross-entropy
  bool average = false;      ///< the whole loss divided by the number of scales (the code for organs)
  int64_t ignore = 255;      ///< pixels with this label
};

/// q = clamp(Σ_k w_k softmax(z^k)), [N, C, H, W]; logits z^k [N, C, H, W], weights [S] that sum to 1.
Tensor scale_mixture(const std::vector<Tensor>& logits, const Tensor& weights, double clamp = 1e-3);

/// mean_{n, pixels} m_n Σ_k KL(softmax(z^k) ‖ q), with gradients into both sides; m_n = 1 for an image whose q reaches rho at a pixel that
/// is not ignored, a constant. Ignored pixels count in the mean. labels i64 [N, H, W].
Tensor multiscale_consistency(const std::vector<Tensor>& logits, const Tensor& weights, const Tensor& labels,
                              const MultiScaleOptions& options = {});
/// Σ_k CE(z^k, y), an ignored pixel counting 0 and all pixels in the mean. weights only with logit_scale.
Tensor multiscale_cross_entropy(const std::vector<Tensor>& logits, const Tensor& weights, const Tensor& labels,
                                const MultiScaleOptions& options = {});
/// Cross-entropy + λ consistency. One scale and λ = 0: the plain cross-entropy.
/// All four throw ShapeError for no logits or shapes that do not fit, IndexError for a label that is neither in [0, C) nor ignored,
/// ValueError for ρ outside [0, 1], λ < 0 or clamp outside [0, ½).
Tensor multiscale_loss(const std::vector<Tensor>& logits, const Tensor& weights, const Tensor& labels,
                       const MultiScaleOptions& options = {});

/// The weights of softmax(θ) with equal θ, [scales] f32. To learn them, give θ to an optimiser and hand softmax(θ, 0) to the loss.
Tensor equal_weights(size_t scales);

/// Logits of each scale, brought back to the size of the images: the images resized (bilinear, corners aligned), the network on them, its
/// logits resized. A scale of 1 resizes nothing. Network: images [N, ..] → logits [N, C, H', W']. Throws ValueError for a scale ≤ 0.
Tensor resized_to_scale(const Tensor& images, double scale);
Tensor resized_to(const Tensor& maps, int64_t height, int64_t width);
template <typename Network>
std::vector<Tensor> multiscale_logits(Network&& network, const Tensor& images, const std::vector<double>& scales) {
  std::vector<Tensor> out;
  for (double scale : scales) out.push_back(resized_to(network(resized_to_scale(images, scale)), images.size(2), images.size(3)));
  return out;
}
/// mean_k softmax(z^k) outside the graph: what labels are corrected by. [N, C, H, W].
Tensor mean_probabilities(const std::vector<Tensor>& logits);

}  // namespace plumb::methods::adele
