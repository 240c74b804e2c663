// ALLoRA: Adaptive Learning Rate Mitigates LoRA Fatal Flaws (Huang, Balestriero; arXiv 2410.09692): a low-rank change up · down of a
// weight, without dropout and without a scale, whose rows of `up` take the larger steps the shorter they are:
//
//   step of up_i ← f_i · step of up_i,   f_i = 1 / √(‖up_i‖ + 1/η²),   f = η where up starts, at 0
//
//   nn::add_adapter(model, "task", {.rank = 8});   nn::train_adapters_only(model);
//   AdapterFactors adapters = adapter_factors(model, "task");
//   optim::AdamW adamw(adapters.all(), {.lr = 1e-3, .weight_decay = 0});
//   allora::adapt_steps(adamw, adapters, {.eta = 4});                       // and train as ever
#pragma once
#include "methods/common/adapter_factors.h"
#include "models/optim/optimizer.h"

namespace plumb::methods::allora {

/// What stands under the root beside 1/η²: the row's norm, or (the other reading of "inversely proportional to the norm") its square.
enum class Rule : uint8_t { norm, square };
/// One factor for each row, or one for the whole matrix, of its Frobenius norm.
enum class Grain : uint8_t { row, matrix };
/// What is multiplied: the gradient, before the optimiser's moments, as the rule is written; or the optimiser's finished step. Adam divides
/// by the running size of the gradient, so there a factor that changes slowly has no effect unless it multiplies the step. With plain SGD
/// the two are the same.
enum class Placement : uint8_t { step, gradient };

struct AdaptiveScale {
  double eta = 4;
  Rule rule = Rule::norm;
  Grain grain = Grain::row;
  Placement placement = Placement::step;
  bool both = false;        ///< the rows of `down` too, by their own norms
  double weight_decay = 0;  ///< the optimiser's decoupled weight decay, so that Placement::step leaves it out of the factor
  /// Throws ValueError unless η is positive and finite, and weight_decay ≥ 0.
  void check() const;
};

/// f_i = 1 / √(‖up_i‖ + 1/η²), or 1 / √(‖up_i‖² + 1/η²): [rows], without a graph. Rows of up [outputs, rank] are output units.
/// Throws ShapeError unless up is a matrix, ValueError unless η is positive and finite.
Tensor row_factor(const Tensor& up, double eta, Rule rule = Rule::norm);
/// The same of the norm of all of `up`, for every row: [rows].
Tensor matrix_factor(const Tensor& up, double eta, Rule rule = Rule::norm);

/// Multiplies gradients of `matrices`, before anything else is made of them. Factors are of the values before the step. Gradients that
/// are to be clipped are clipped before: a step's transforms come after clip_grad_norm.
optim::GradientTransform scale_gradients(std::vector<Tensor> matrices, const AdaptiveScale& scale);
/// Multiplies steps: p ← q + f (p − q), q = (1 − lr · weight_decay) · before. Factors are of the values before the step.
optim::UpdateHook scale_steps(std::vector<Tensor> matrices, const AdaptiveScale& scale);
/// Gives the optimiser the one or the other for these adapters. Throws ValueError and ShapeError as scale.check() and row_factor do.
void adapt_steps(optim::Optimizer& optimizer, const AdapterFactors& adapters, const AdaptiveScale& scale = {});

/// What an adapter adds to a linear layer's output, up · (down · x) for x [.., in], with factors by sample instead of by row: what a
/// sample x_n adds to the gradient of `up` is multiplied by 1 / √(‖up · down · x_n‖ + 1/η²), without a graph; the gradients of `down` and
/// x are as they were. Throws ValueError unless η is positive and finite.
Tensor per_sample_product(const Tensor& x, const Tensor& down, const Tensor& up, double eta, Rule rule = Rule::norm);

/// What dropout of a linear layer's input costs on average over all masks: for inverted dropout with probability p,
///   E Σ_n (y_n − wᵀ(x_n ⊙ m_n)/(1 − p))² = Σ_n (y_n − wᵀx_n)² + p/(1 − p) Σ_j w_j² Σ_n x_nj²
/// The last term: x [N, D], w [D]. A short run sees too few masks for it. Throws ShapeError, and ValueError unless 0 ≤ p < 1.
Tensor dropout_penalty(const Tensor& x, const Tensor& w, double p);

}  // namespace plumb::methods::allora
