// BA-LoRA: Bias-Alleviating Low-Rank Adaptation to Mitigate Catastrophic Inheritance in Large Language Models (Chang, Chang, Wu;
// arXiv 2408.04556): low-rank adapters that start from the weight's largest singular values (PiSSA), trained with three penalties on the
// model's outputs, so that what the pretraining data had of noise and imbalance is not amplified.
//
//   L = CE + λ₁ L_CR + λ₂ L_DR + λ₃ L_SVDR
//
//   mlp::Mlp pretrained = …, model = pretrained;                                            // the teacher is the model as it was
//   nn::add_adapter(model, "task", {.rank = 8, .start = nn::LowRankStart::principal});      // W = W_res + up · down
//   nn::train_adapters_only(model);
//   ba_lora::classification_loss(model(x), pretrained(x), label, {.consistency = 1}).backward();
//   …   nn::merge_adapters(model);                                                          // layers cost what they did
#pragma once
#include <cstdint>

#include "engine/core/tensor.h"

namespace plumb::methods::ba_lora {

/// The multipliers of the penalties (the official code's defaults) and the number of leading singular values. A penalty whose multiplier is
/// 0 is not computed: with all of them 0 the loss is the cross-entropy to the last bit, and the training PiSSA's.
struct Penalties {
  double consistency = 1e-4;  ///< λ₁
  double diversity = 3e-4;    ///< λ₂
  double spectrum = 1e-4;     ///< λ₃
  int64_t top = 3;            ///< k of L_SVDR
};

/// (1 / (B D)) ‖F/‖F‖ − P/‖P‖‖²_F with rows of unit length (norms of at least 1e-12): logits F and those of the pretrained model P, [B, D].
/// No gradient goes to P. Throws ShapeError unless both are matrices of one shape.
Tensor consistency_mse_normalized(const Tensor& logits, const Tensor& pretrained);

/// For a classifier: logits and pretrained [B, D], label [B].
///   L_CR = consistency_mse_normalized(F, P),   L_DR = off_diagonal_covariance(F),   L_SVDR = −svd_ratio(F, k)
/// L_DR and L_SVDR are statistics of the batch: accumulated gradients of parts are those of the parts' own. Throws ShapeError for other
/// shapes, ValueError for k < 1, for a batch of 1 where L_DR counts, and for logits that are not finite where L_SVDR counts.
Tensor classification_loss(const Tensor& logits, const Tensor& pretrained, const Tensor& label, const Penalties& penalties = {});

/// Rows of the token-by-vocabulary matrix whose singular values L_SVDR takes; more tokens are thinned evenly.
inline constexpr int64_t kSpectrumRows = 256;

/// For a language model: logits and pretrained [B, T, V], target [B, T]; mask bool [B, T], true at response tokens (undefined: all). Only
/// those count, in every term, each a mean over them:
///   L_CR = KL(softmax P ‖ softmax F),   L_DR = −H(softmax F),   L_SVDR = −svd_ratio(logits of the tokens [n, V], k)
/// Throws as classification_loss, and as methods/common/token_losses.h for a mask.
Tensor language_loss(const Tensor& logits, const Tensor& pretrained, const Tensor& target, const Tensor& mask = {},
                     const Penalties& penalties = {});

}  // namespace plumb::methods::ba_lora
