// AdaWAC (Dong, Xie, Ward, ICML 2023): segmentation of images that differ in how much there is to see. Every training image has two weights
// on the simplex, one on its cross-entropy and one on the agreement of the encoder's maps of two augmented views, moved by mirror ascent
// against the network: dense images come to carry the supervised loss, empty ones only the agreement.
//   min_θ max_β (1/n) Σ_i β_i1 ce_i(θ) + β_i2 dac_i(θ),    ce_i the mean over both views,  dac_i = λ mean (φ(x1) − φ(x2))²
#pragma once
#include <vector>

#include "engine/core/tensor.h"
#include "models/unet/segmentation_losses.h"

namespace plumb::methods::adawac {

/// What a batch of pairs came to.
struct PairParts {
  Tensor ce;    ///< [B], mean of both views
  Tensor dac;   ///< [B], λ times the maps' mean squared difference
  Tensor dice;  ///< scalar: the soft Dice loss of the batch, mean of both views
};

/// mean over all but the first dimension of (φ1 − φ2)², [B]; the gradient goes to both. Throws ShapeError for shapes that differ.
Tensor feature_mse(const Tensor& phi1, const Tensor& phi2);

/// A batch of image pairs, each view with its own mask: f32 [B, C, H, W], i64 [B, H, W], and each image's place in the data set, i64 [B].
struct PairBatch {
  Tensor image1, mask1, image2, mask2, index;
};
/// Throws ShapeError if the two views differ in shape, or the index is not [B].
void check_pairs(const PairBatch& batch);

/// Parts of a batch: Net has maps(images) → {logits [B, K, H, W], deepest [B, ..]}. Throws as check_pairs, IndexError for a mask label
/// outside [0, K), ValueError for λ < 0.
template <typename Net>
PairParts pair_parts(const Net& net, const PairBatch& batch, double lambda);
/// The same from what the network said of both views.
PairParts parts_of(const Tensor& logits1, const Tensor& logits2, const Tensor& phi1, const Tensor& phi2, const PairBatch& batch,
                   double lambda);

/// r dice + (1 − r) mean_i (β_i ce_i + (1 − β_i) dac_i), β [B] as constants. Throws ValueError for r outside [0, 1], ShapeError for sizes
/// that differ.
Tensor adawac_loss(const PairParts& parts, const Tensor& beta, double dice_ratio);

/// One weight pair an image, kept as the logit s_i of β_i1, 0 at the start: multiplying weights would underflow, and a weight of zero never
/// comes back. β_i1 ← β_i1 e^(η (ce − dac)) / (β_i1 e^(η (ce − dac)) + β_i2) is s_i ← s_i + η (ce_i − dac_i), β_i1 = σ(s_i).
class SampleWeights {
 public:
  /// Throws ValueError for samples < 1 or η < 0.
  SampleWeights(int64_t samples, double eta);
  /// Moves the weights of index (i64 [B]) by the values of ce and dac [B] (the adversary maximises: where ce is larger, its weight grows),
  /// and gives β_1 after it, [B] of ce's type, outside the graph. An image that occurs twice is moved twice. Throws IndexError for an index
  /// outside [0, samples), ShapeError for sizes that differ; nothing is changed then.
  Tensor update(const Tensor& index, const Tensor& ce, const Tensor& dac);
  /// β_1 of all images, f64 [samples].
  Tensor beta() const;
  void reset();
  /// For checkpoints: the logits, f64 [samples]. Throws ShapeError for another size.
  Tensor logits() const;
  void set_logits(const Tensor& logits);

 private:
  std::vector<double> logits_;
  double eta_;
};

// -- what it is compared with -----------------------------------------------------------------------------------------------------------

/// Weights normalised over each batch: β ← β^(1 − η h) e^(η ce), Σ_batch β = 1. h = 0 reweights by the loss alone; h > 0 is
/// distributionally robust optimisation with an entropy of that weight. Kept as logarithms.
class BatchWeights {
 public:
  /// Throws ValueError for samples < 1, η < 0 or h < 0.
  BatchWeights(int64_t samples, double eta, double entropy = 0);
  /// β of the batch after the update, [B]; their sum is 1. Throws as SampleWeights::update.
  Tensor update(const Tensor& index, const Tensor& ce);
  /// log β of all images, f64 [samples].
  Tensor log_weights() const;

 private:
  std::vector<double> log_;
  double eta_, entropy_;
};

/// 1 for images with a pixel that is not background, else 0: masks i64 [B, H, W] → f32 [B].
Tensor nonempty(const Tensor& masks);
/// 1 for images whose loss lies above the batch's quantile q, else 0: [B]. Throws ValueError for q outside [0, 1].
Tensor trim_quantile_mask(const Tensor& ce, double q);
/// Σ keep v / Σ keep; 0 if none is kept.
Tensor kept_mean(const Tensor& values, const Tensor& keep);
/// r dice + (1 − r) kept_mean((ce + dac) / 2). Throws as adawac_loss.
Tensor trimmed_loss(const PairParts& parts, const Tensor& keep, double dice_ratio);

template <typename Net>
PairParts pair_parts(const Net& net, const PairBatch& batch, double lambda) {
  check_pairs(batch);
  auto first = net.maps(batch.image1), second = net.maps(batch.image2);
  return parts_of(first.logits, second.logits, first.deepest, second.deepest, batch, lambda);
}

}  // namespace plumb::methods::adawac
