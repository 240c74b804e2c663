// LDR-KL and ALDR-KL (Zhu, Ying, Yang, Label Distributionally Robust Losses for Multi-class Classification, ICML 2023): each example's loss
// is the worst convex combination p of its margin violations, with a price for leaving the uniform distribution:
//   ψ_λ(f, y) = max_p Σ_k p_k d_k − λ KL(p ‖ 1/K) = λ log( (1/K) Σ_k exp(d_k / λ) ),   d_k = f_k − f_y + c 1[k ≠ y]
// p* = softmax(d / λ), ∂ψ/∂f = p* − onehot(y). λ = 1, c = 0 is the cross-entropy less log K; λ → 0 Crammer and Singer's hinge max_k d_k;
// λ → ∞ the mean of d, for which Σ_y ψ = c (K − 1) is constant: a symmetric loss, which uniform label noise does not move.
#pragma once
#include "engine/core/tensor.h"
#include "ops/loss.h"

namespace plumb::methods::ldr {

/// How scores are bounded before they are compared; the gradient flows through it.
enum class ScoreNorm : uint8_t {
  none,
  l1,             ///< f / (Σ_k |f_k| / K); a row whose mean |f| is below 10⁻¹² is left as it is
  softplus_mean,  ///< s / (Σ_k s_k / K), s = softplus(f)
};
/// scores [B, K] → [B, K]. Throws ShapeError for another rank.
Tensor normalize_scores(const Tensor& scores, ScoreNorm norm);

struct LdrOptions {
  double lambda = 1;
  double margin = 0.1;  ///< c ≥ 0
  ScoreNorm normalize = ScoreNorm::softplus_mean;
  Reduction reduction = Reduction::mean;
};
/// ψ_λ of every row, or its mean or sum. scores [B, K], labels i64 [B]. Its gradient is bounded whatever λ is, and nothing overflows.
/// Throws ShapeError for other shapes, ValueError unless λ > 0, c ≥ 0 and K ≥ 2, IndexError for a label outside [0, K).
Tensor ldr_kl_loss(const Tensor& scores, const Tensor& labels, const LdrOptions& options = {});
/// The same with a λ for each row: lambdas [B], constants, all above 0. Scores as they are, without normalisation; [B].
Tensor ldr_kl_rows(const Tensor& scores, const Tensor& labels, const Tensor& lambdas, double margin);
/// The worst case p* = softmax(d / λ), [B, K], outside the graph.
Tensor worst_case(const Tensor& scores, const Tensor& labels, double lambda, double margin);

struct AldrOptions {
  double lambda0 = 10;
  double alpha = 2;  ///< > 1
  double margin = 0.1;
  ScoreNorm normalize = ScoreNorm::l1;
  double floor = 1e-5;  ///< added to each probability before KL
};
/// Step 2 and 3 of ALDR-KL: λ_i ← λ₀ − λ₀ KL(p_i ‖ 1/K) / (α log K), p_i = softmax(f_i / λ_i) of the example's own scores without margin,
/// with `floor` added and brought to sum 1 again. In [λ₀ (1 − 1/α), λ₀]: small for confident examples, which are then fitted hard.
/// normalized scores [B, K], lambdas [B] → [B], outside the graph.
Tensor adapted_lambdas(const Tensor& normalized, const Tensor& lambdas, const AldrOptions& options = {});

/// ALDR-KL: LDR-KL with a λ for each training example, which follows its uncertainty.
///   loss = mean_i [ψ_{λ_i}(f_i, y_i; c) − (α log K / 2 λ₀) (λ_i − λ₀)²],  λ_i adapted from its value at the last visit before the loss
class AldrKlLoss {
 public:
  /// λ_i = λ₀ for all `samples`. Throws ValueError unless samples ≥ 1, λ₀ > 0, α > 1, c ≥ 0, floor ≥ 0.
  explicit AldrKlLoss(int64_t samples, AldrOptions options = {});
  /// scores [B, K], labels and index i64 [B], the examples' places in the data set (not in the batch). Moves the λ of these examples.
  /// Of an example that occurs twice the last λ stays. Throws as ldr_kl_loss, and IndexError for an index outside [0, samples); nothing
  /// is changed then.
  Tensor operator()(const Tensor& scores, const Tensor& labels, const Tensor& index);
  /// [samples] f64, a handle; for checkpoints and to see who is uncertain.
  const Tensor& lambdas() const { return lambdas_; }
  /// Throws ShapeError for another length, ValueError for a λ that is not above 0.
  void set_lambdas(const Tensor& lambdas);
  const AldrOptions& options() const { return options_; }

 private:
  AldrOptions options_;
  Tensor lambdas_;
};

}  // namespace plumb::methods::ldr
