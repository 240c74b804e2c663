// Losses. Every one has a reduction: none keeps one value an example (an element, or a row where classes or features are summed over),
// mean divides their sum by their number, sum does not. Inputs of 16-bit types are taken as f32, and so is the loss. Where targets are not
// class numbers, predictions and targets must have the same shape (no broadcasting: a [n, 1] against an [n] is a mistake): ShapeError
// otherwise.
#pragma once
#include <cstdint>

#include "engine/core/tensor.h"

namespace plumb {

enum class Reduction { none, mean, sum };

// -- classes: the last dimension of logits, which are any real numbers ------------------------------------

struct CrossEntropyOptions {
  Tensor weight;                ///< one number a class, by which its examples count; undefined: 1
  int64_t ignore_index = -100;  ///< examples with this target count nothing
  double label_smoothing = 0;   ///< ε in [0, 1]: targets become (1 − ε) target + ε / classes
  Reduction reduction = Reduction::mean;
};
/// −Σ_c q_c w_c log softmax(logits)_c over the last dimension. logits [.., C]; target either class numbers (i64, i32) of shape [..], then q
/// is one-hot, or probabilities [.., C] (floating), which may need a gradient too. The mean over class numbers divides by Σ w_target (0 if
/// everything is ignored), over probabilities by the number of rows. Probabilities are never stored for class numbers.
/// Throws IndexError naming a target outside [0, C), ShapeError if shapes do not fit, ValueError for ε outside [0, 1].
Tensor cross_entropy(const Tensor& logits, const Tensor& target, const CrossEntropyOptions& options = {});

struct NllOptions {
  Tensor weight;
  int64_t ignore_index = -100;
  Reduction reduction = Reduction::mean;
};
/// −w_t x_t for log-probabilities x [.., C] and class numbers t [..]; otherwise as cross_entropy.
Tensor nll_loss(const Tensor& log_probabilities, const Tensor& target, const NllOptions& options = {});

struct FocalOptions {
  double gamma = 2;             ///< ≥ 0; 0 is the cross-entropy
  Tensor weight;
  int64_t ignore_index = -100;
  Reduction reduction = Reduction::mean;
};
/// −(1 − p_t)^γ w_t log p_t with p = softmax(logits) (Lin et al. 2017). The mean divides as cross_entropy's.
Tensor focal_loss(const Tensor& logits, const Tensor& target, const FocalOptions& options = {});

struct MultiMarginOptions {
  double margin = 1;
  int p = 1;                    ///< 1 or 2
  Reduction reduction = Reduction::mean;
};
/// Σ_{c ≠ t} max(0, margin − x_t + x_c)^p / C, the hinge loss over classes; scores x [.., C], class numbers t [..]. Throws IndexError
/// naming a number outside [0, C), ValueError unless p is 1 or 2.
Tensor multi_margin_loss(const Tensor& scores, const Tensor& target, const MultiMarginOptions& options = {});

// -- yes or no: an element each ------------------------------------------------------------------------------

struct BinaryCrossEntropyOptions {
  Tensor weight;      ///< of each element; broadcasts; undefined: 1
  Tensor pos_weight;  ///< of the positive part of each element; broadcasts (one number a class); undefined: 1. For logits only
  Reduction reduction = Reduction::mean;
};
/// −(y log σ(x) · pos_weight + (1 − y) log(1 − σ(x))) for logits x and targets y in [0, 1]; no overflow, small losses keep their digits.
/// Throws ValueError naming a target outside [0, 1].
Tensor binary_cross_entropy_with_logits(const Tensor& logits, const Tensor& target, const BinaryCrossEntropyOptions& options = {});
/// The same for probabilities, whose logarithms count −100 at least. Throws ValueError naming a probability or target outside [0, 1].
Tensor binary_cross_entropy(const Tensor& probabilities, const Tensor& target, const BinaryCrossEntropyOptions& options = {});

struct SigmoidFocalOptions {
  double gamma = 2;
  double alpha = 0.25;  ///< weight of positives, 1 − α of negatives; negative: no weights
  Reduction reduction = Reduction::mean;
};
/// α_t (1 − p_t)^γ times the binary cross-entropy, p_t the probability of the truth (Lin et al. 2017); targets 0 or 1.
Tensor sigmoid_focal_loss(const Tensor& logits, const Tensor& target, const SigmoidFocalOptions& options = {});

struct HingeOptions {
  double margin = 1;
  bool squared = false;
  Reduction reduction = Reduction::mean;
};
/// max(0, margin − y x), or its square; targets y are 1 or −1, else ValueError.
Tensor hinge_loss(const Tensor& scores, const Tensor& target, const HingeOptions& options = {});

// -- distributions over the last dimension -------------------------------------------------------------------

struct KlOptions {
  bool logits = false;      ///< input is logits instead of log-probabilities
  bool log_target = false;  ///< target is log-probabilities instead of probabilities
  Reduction reduction = Reduction::mean;  ///< over rows
};
/// KL(target ‖ input) = Σ_c t_c (log t_c − log q_c): input holds log q.
Tensor kl_div(const Tensor& input, const Tensor& target, const KlOptions& options = {});

struct JsOptions {
  bool logits = false;  ///< a and b are logits instead of log-probabilities
  Reduction reduction = Reduction::mean;
};
/// The Jensen–Shannon divergence ½ KL(a ‖ m) + ½ KL(b ‖ m), m = (a + b) / 2, of two tensors of log-probabilities. Symmetric, at most log 2.
Tensor js_divergence(const Tensor& a, const Tensor& b, const JsOptions& options = {});

// -- real numbers: d = prediction − target, an element each ---------------------------------------------------

Tensor mse_loss(const Tensor& prediction, const Tensor& target, Reduction reduction = Reduction::mean);  ///< d²
Tensor l1_loss(const Tensor& prediction, const Tensor& target, Reduction reduction = Reduction::mean);   ///< |d|
/// d² / 2β where |d| < β, else |d| − β/2. β ≥ 0; 0 is l1_loss.
Tensor smooth_l1_loss(const Tensor& prediction, const Tensor& target, double beta = 1, Reduction reduction = Reduction::mean);
/// d² / 2 where |d| < δ, else δ (|d| − δ/2). δ > 0.
Tensor huber_loss(const Tensor& prediction, const Tensor& target, double delta = 1, Reduction reduction = Reduction::mean);
/// δ² (√(1 + (d/δ)²) − 1), smooth everywhere. δ > 0.
Tensor pseudo_huber_loss(const Tensor& prediction, const Tensor& target, double delta = 1, Reduction reduction = Reduction::mean);
/// c²/2 log(1 + (d/c)²). c > 0.
Tensor cauchy_loss(const Tensor& prediction, const Tensor& target, double scale = 1, Reduction reduction = Reduction::mean);

struct PoissonNllOptions {
  bool log_input = true;  ///< prediction is the logarithm of the rate
  bool full = false;      ///< adds Stirling's t log t − t + ½ log 2πt for targets above 1
  double eps = 1e-8;      ///< keeps log(rate) finite when the prediction is the rate itself
  Reduction reduction = Reduction::mean;
};
/// eˣ − t x (or x − t log(x + eps)): −log of the Poisson probability of t, up to what does not depend on x.
Tensor poisson_nll_loss(const Tensor& prediction, const Tensor& target, const PoissonNllOptions& options = {});

struct GaussianNllOptions {
  bool full = false;  ///< adds ½ log 2π
  double eps = 1e-6;  ///< the least variance
  Reduction reduction = Reduction::mean;
};
/// ½ (log v + d² / v), v = max(variance, eps); variance broadcasts. Throws ValueError for a negative variance.
Tensor gaussian_nll_loss(const Tensor& prediction, const Tensor& target, const Tensor& variance, const GaussianNllOptions& options = {});

// -- vectors --------------------------------------------------------------------------------------------------

/// ⟨a, b⟩ / max(‖a‖ ‖b‖, eps) along dim; a and b broadcast.
Tensor cosine_similarity(const Tensor& a, const Tensor& b, int dim = -1, double eps = 1e-8);

struct CosineEmbeddingOptions {
  double margin = 0;
  Reduction reduction = Reduction::mean;
};
/// 1 − cos(a, b) where the target is 1, max(0, cos(a, b) − margin) where it is −1; a, b [.., n], target [..].
Tensor cosine_embedding_loss(const Tensor& a, const Tensor& b, const Tensor& target, const CosineEmbeddingOptions& options = {});

struct TripletOptions {
  double margin = 1, p = 2, eps = 1e-6;
  bool swap = false;  ///< uses the nearer of anchor–negative and positive–negative (Balntas et al. 2016)
  Reduction reduction = Reduction::mean;
};
/// max(0, ‖anchor − positive + eps‖_p − ‖anchor − negative + eps‖_p + margin) over the last dimension.
Tensor triplet_margin_loss(const Tensor& anchor, const Tensor& positive, const Tensor& negative, const TripletOptions& options = {});

struct InfoNceOptions {
  double temperature = 0.1;
  bool normalize = true;   ///< compares directions (cosines)
  bool symmetric = false;  ///< averages with the loss of keys against queries
  Tensor negatives;        ///< further keys [m, n] that match no query; undefined: none
  Reduction reduction = Reduction::mean;
};
/// Cross-entropy of q_i · k_j / temperature over j with truth j = i (van den Oord et al. 2018): queries and keys [b, n], the other keys of
/// the batch are the negatives.
Tensor info_nce(const Tensor& queries, const Tensor& keys, const InfoNceOptions& options = {});

}  // namespace plumb
