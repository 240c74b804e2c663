// The losses of Happy (Ma et al., NeurIPS 2024; official code mashijie1028/Happy-CGCD): unlabelled examples of old and of new classes,
// whose mean prediction must not fall onto the old ones.
#pragma once
#include "engine/core/generator.h"
#include "engine/core/tensor.h"
#include "models/nn/cosine_linear.h"

namespace plumb::methods::happy {

/// Σ_c p_c log p_c + log K ≥ 0 of probabilities p [K], 0 iff they are uniform; 0 log 0 = 0. What SimGCD adds. Throws ShapeError for another
/// rank.
Tensor entropy_gap(const Tensor& probabilities);

struct SoftEntropyWeights {
  double between = 1, old = 1, fresh = 1;  ///< λ1, λ2, λ3
};
struct SoftEntropy {
  Tensor between;  ///< p_o log p_o + p_n log p_n + log 2, the shares of old and of new classes
  Tensor old;      ///< entropy_gap of the old classes among themselves
  Tensor fresh;    ///< and of the new ones; 0 for one new class
  Tensor total(const SoftEntropyWeights& weights = {}) const;
};
/// Of the mean prediction p [K], of which the first `k_old` are old classes. Each is ≥ 0, and finite where classes, or a group, have no
/// mass. Throws ShapeError for another rank, ValueError unless 0 < k_old < K.
SoftEntropy soft_entropy(const Tensor& mean_probabilities, int64_t k_old);
/// soft_entropy(p, k_old).total(weights).
Tensor soft_entropy_regularizer(const Tensor& mean_probabilities, int64_t k_old, const SoftEntropyWeights& weights = {});

struct KnownOptions {
  double unsupervised = 0.65;                             ///< the rest is the supervised share
  double entropy = 1;                                     ///< λ_me
  double student = 0.1;                                   ///< τ_s
  double contrastive = 1, supervised_contrastive = 0.07;  ///< temperatures
};
/// Stage 0: 0.65 (self-distillation + λ_me R(p̄) + InfoNCE) + 0.35 (CE(z / τ_s) + SupCon), logits [2B, K] and projected [2B, D] of two
/// stacked views, labels i64 [B], τ_t the teacher's temperature. Throws ShapeError for sizes that do not fit.
Tensor known_loss(const Tensor& logits, const Tensor& projected, const Tensor& labels, double teacher, const KnownOptions& options = {});

struct HappyOptions {
  SoftEntropyWeights entropy = {};
  bool soft = true;          ///< else `between` times the plain entropy_gap over all K classes, as SimGCD
  double prototypes = 1;     ///< λ_p; 0: none
  double distillation = 1;   ///< λ_d; 0: none
  double student = 0.1;      ///< τ_s
  double teacher = 0.05;     ///< τ_t
  double hardness = 0.1;     ///< τ_h of drawing prototypes; infinite: uniform
  double contrastive = 1;    ///< InfoNCE's temperature
  bool cluster_init = true;  ///< new rows of the head from k-means; else random
};

/// What the network says of two stacked views, and of drawn prototypes.
struct StageOutputs {
  Tensor logits;            ///< [2B, K]
  Tensor projected;         ///< [2B, D]
  Tensor features;          ///< [2B, d]
  Tensor previous;          ///< [2B, d], of the network before the stage; undefined: no distillation
  Tensor prototype_logits;  ///< [n, K], of drawn features, with their classes i64 [n]; undefined: none
  Tensor prototype_labels;
};
struct HappyTerms {
  Tensor self_distillation, entropy, contrastive;
  Tensor prototypes, distillation;  ///< undefined where left out
  Tensor total(const HappyOptions& options) const;
};
/// L = L_sd + entropy + L_con + λ_p CE(z / τ_s of prototypes) + λ_d mean_i ‖f_i/‖f_i‖ − g_i/‖g_i‖‖², g from the previous network, a
/// constant.
HappyTerms happy_terms(const StageOutputs& outputs, int64_t k_old, const HappyOptions& options = {});

// -- the head grows --------------------------------------------------------------------------------------------------------------------

/// Rows are put behind those that are there, which stay bit for bit: rows [k, d]. Throws ShapeError for another width, ValueError for none.
/// The head's weight is another tensor afterwards; make optimisers then.
void grow_head(nn::CosineLinear& head, const Tensor& rows);
/// k random directions of length 1, [k, d].
Tensor random_rows(int64_t k, int64_t width, Generator& generator);
/// New directions by clustering: k-means of the normalised features [n, d] with as many clusters as there will be classes; of the
/// normalised centres those `k_new` whose largest cosine with a row of the head is smallest, of length 1: [k_new, d], the least first.
/// Throws ValueError for k_new < 1 or fewer examples than clusters, ShapeError for another width.
Tensor clustered_rows(const nn::CosineLinear& head, const Tensor& features, int64_t k_new, Generator& generator);

}  // namespace plumb::methods::happy
