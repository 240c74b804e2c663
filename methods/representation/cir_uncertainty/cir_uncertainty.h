// Composed image retrieval with multi-grained uncertainty regularisation (Chen et al., ICLR 2024): the feature of a target image is
// jittered by noise of its own statistics, and the contrastive loss against it counts the less the more it fluctuates: many images may be
// meant.
#pragma once
#include <cstdint>
#include <vector>

#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::methods::cir_uncertainty {

/// 1/B Σ_i [ −q_i·t_i + log Σ_j e^(q_i·t_j) ]: queries against the targets of the batch, as they are, one direction. With `label_smoothing`
/// ε the truth is (1 − ε) target i + ε / B. q, t [B, d]. Throws ShapeError unless they are matrices of one shape, ValueError for B = 0.
Tensor nce(const Tensor& q, const Tensor& t, double label_smoothing = 0);

/// (t_i − m_i) / √(v_i + 1e-5), each row by its own mean and (biased) variance over the d channels; a constant row becomes 0. Throws
/// ShapeError unless t is a matrix.
Tensor row_norm(const Tensor& t);

/// What a row is multiplied by and what is added, [B, d] each: plain samples, constants to the derivative.
struct JitterSample {
  Tensor alpha, beta;
};

/// The augmenter of section 3.2, of training alone:   a = α ⊙ row_norm(t) + β,   α_ic ~ N(1, s_i),  β_ic ~ N(m_i, s_i),
/// with m_i and s_i the mean and (unbiased) standard deviation of row i. a is as long as √d, not as t. s_i is about norm_scale/√d.
struct FeatureJitter {
  double alpha_scale = 1, beta_scale = 1;  ///< multiply the samples, their means included
  double deviation_scale =
      1;  ///< multiplies the standard deviations alone: √(d/512) gives a small d the noise of the paper's 512 channels; 0: none
  double renormalize = 0;      ///< a's rows are made this long; 0: they stay as they are, as in the paper's code

  /// The sample for given standard normal numbers, [B, d] each.
  JitterSample sample(const Tensor& t, const Tensor& for_alpha, const Tensor& for_beta) const;
  /// The sample drawn from `generator`. Both throw ShapeError, ValueError for d < 2 (no deviation) or a scale that is negative or not
  /// finite.
  JitterSample sample(const Tensor& t, Generator& generator) const;
  /// a for a sample; its gradient reaches t through row_norm alone.
  Tensor with(const Tensor& t, const JitterSample& sample) const;
  Tensor apply(const Tensor& t, Generator& generator) const { return with(t, sample(t, generator)); }
};

/// ½ (e^(−S) nce(q, a) + S), S the standard deviation of all B·d elements of a: one number for the batch (the paper's code).
Tensor uncertainty_loss(const Tensor& q, const Tensor& a);

/// γ(epoch) = e^(−γ₀ epoch / total), epochs counted from 0: the first is all coarse, the last not all fine. Throws ValueError for γ₀ < 0,
/// total < 1, or an epoch outside [0, total].
struct CoarseToFineWeight {
  double gamma0 = 1;
  int64_t total = 60;
  double at(int64_t epoch) const;
};

/// γ uncertainty_loss(q, a) + (1 − γ) nce(q, t) with the jittered targets a (eq. 9); what has weight 0 is not computed. Throws ValueError
/// unless γ is in [0, 1].
Tensor mgur_loss(const Tensor& q, const Tensor& t, const Tensor& a, double gamma);
/// The same for an epoch, with a drawn.
Tensor mgur_loss(const Tensor& q, const Tensor& t, int64_t epoch, const CoarseToFineWeight& weight, const FeatureJitter& jitter,
                 Generator& generator);

/// The share of queries whose target is among the k of the largest similarity, for each k, of equal ones the lower index first. similarity
/// [n, m], target i64 [n], exclude i64 [n] the reference image of each query, which is in no ranking (undefined: none). Throws ShapeError,
/// IndexError for an index outside [0, m), ValueError for no queries, a k outside [1, m], or a target that is its query's reference.
std::vector<double> recall_at_k(const Tensor& similarity, const Tensor& target, const Tensor& exclude, const std::vector<int64_t>& ks);

/// The learning rate's multiplier in epoch e of `total`, as the paper's over 60: rises as 0.01 + 0.99 e/5 for 5 epochs, then 1, 0.1 from
/// epoch 35 and 0.01 from 42, all stretched by total/60. Throws ValueError for total < 1.
double learning_rate_at(int64_t epoch, int64_t total);

}  // namespace plumb::methods::cir_uncertainty
