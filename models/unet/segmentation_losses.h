// Losses of segmentations: the cross-entropy of each image, and the soft Dice loss of a batch.
#pragma once
#include "engine/core/tensor.h"

namespace plumb::unet {

/// The mean over its pixels of each image's cross-entropy, [B]: logits [B, K, H, W], mask i64 [B, H, W].
/// Throws ShapeError for shapes that do not fit, IndexError naming a label outside [0, K).
Tensor per_sample_cross_entropy(const Tensor& logits, const Tensor& mask);

/// mean_c 1 − (2 Σ s_c t_c + ε) / (Σ s_c² + Σ t_c² + ε) over the classes, the background among them, each sum over all pixels of all
/// images of the batch (Milletari et al. 2016): probabilities s and one-hot targets t, both [B, K, ..]. A scalar.
/// One image alone would be punished with nearly 1 for the faintest false positive on an empty mask: a batch is not.
/// Throws ShapeError for shapes that differ, ValueError for ε ≤ 0.
Tensor soft_dice_loss(const Tensor& probabilities, const Tensor& target, double eps = 1e-5);
/// Of softmax(logits) [B, K, H, W] and the classes of mask i64 [B, H, W]. Throws as both above.
Tensor soft_dice_loss_with_logits(const Tensor& logits, const Tensor& mask, double eps = 1e-5);

}  // namespace plumb::unet
