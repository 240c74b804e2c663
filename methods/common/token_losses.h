// Losses over tokens some of which are padding (or a prompt): label-smoothed cross-entropy, divergences, entropy.
//
// Logits are [.., V]; `mask` is bool [..], true where a token counts, undefined where all do. Logits of 16-bit types are taken as f32.
// All throw ShapeError for logits without a dimension of tokens, for a mask of another shape and for two logits of different ones,
// DTypeError for a mask that is not bool, ValueError if no token counts.
#pragma once
#include "engine/core/tensor.h"
#include "ops/loss.h"

namespace plumb::methods {

/// The tokens that count, one a row: [n, V]. `op` is named by errors.
Tensor token_rows(const char* op, const Tensor& logits, const Tensor& mask);
/// The same of what has one number a token: [..] → [n].
Tensor token_values(const char* op, const Tensor& values, const Tensor& mask);

/// (1 − ε − ε / (V − 1)) nll + ε / (V − 1) Σ_v −log p_v: targets of 1 − ε for the truth and ε / (V − 1) for each other class (that of
/// fairseq; cross_entropy's ε of PyTorch also gives the truth its share: its ε is V / (V − 1) times this one). Reduction::none gives [n].
/// Throws ValueError for ε outside [0, 1 − 1/V], IndexError for a target outside [0, V).
Tensor label_smoothed_cross_entropy(const Tensor& logits, const Tensor& target, const Tensor& mask = {}, double epsilon = 0.1,
                                    Reduction reduction = Reduction::sum);

/// ½ [KL(p₁ ‖ p₂) + KL(p₂ ‖ p₁)] = ½ Σ_v (p₁ − p₂)(log p₁ − log p₂) of each token, p = softmax(logits). Both sides get a gradient.
Tensor symmetric_kl(const Tensor& logits1, const Tensor& logits2, const Tensor& mask = {}, Reduction reduction = Reduction::sum);

/// KL(softmax(target) ‖ softmax(logits)) of each token; no gradient goes to the target. The mean is over the tokens that count.
Tensor consistency_kl(const Tensor& logits, const Tensor& target, const Tensor& mask = {}, Reduction reduction = Reduction::mean);

/// −H = Σ_v p_v log p_v, the mean over the tokens that count: to minimise it keeps predictions diverse.
Tensor negative_entropy(const Tensor& logits, const Tensor& mask = {});

}  // namespace plumb::methods
