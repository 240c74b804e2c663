// Marginalization models (Liu, Ramadge & Adams, ICML 2024): one network call gives log p(x_S) of any subset S of a discrete vector's
// variables, where an any-order autoregressive model needs |S|. Symbols, orders and ranks are those of models/any_order/any_order.h.
#pragma once
#include <functional>

#include "models/any_order/any_order.h"
#include "models/any_order/symbol_mlp.h"

namespace plumb::methods::mam {

/// The two answers of a model about partly known x [B, D].
struct Heads {
  std::function<Tensor(const Tensor& x)> log_marginal;  ///< [B], log p(x_S) up to the constant log_marginal(nothing known)
  any_order::Conditionals conditionals;                 ///< [B, D, K], for sampling in any order
};

struct MarginalModelConfig {
  int64_t variables = 16, symbols = 2, width = 256, layers = 3;
};

/// Two separate residual perceptrons ("mlp_dual" of the paper's code), one for each answer.
class MarginalModel : public nn::Module {
 public:
  explicit MarginalModel(const MarginalModelConfig& config);
  struct Answer {
    Tensor log_marginal, logits;
  };
  /// x i64 [B, D] → [B] and [B, D, K]. Throws as SymbolMlp.
  Answer forward(const Tensor& x) const { return {log_marginal(x), conditionals(x)}; }
  Tensor log_marginal(const Tensor& x) const;
  Tensor conditionals(const Tensor& x) const;
  /// The model must outlive it.
  Heads heads() const;
  nn::Module& marginal_part() { return marginal_; }
  nn::Module& conditional_part() { return conditional_; }
  const MarginalModelConfig& config() const { return config_; }

 private:
  MarginalModelConfig config_;
  any_order::SymbolMlp conditional_, marginal_;
};

/// What all vectors with these known variables have together: log_marginal(x) − log_marginal(nothing). [B]. Nothing is recorded.
Tensor log_marginal(const Heads& heads, const Tensor& x);
/// log p(x_U | x_S) = log p(x_U, x_S) − log p(x_S) where `known` [B, D] are the x of S alone. [B]. Nothing is recorded.
Tensor log_block_conditional(const Heads& heads, const Tensor& x, const Tensor& known);
/// The conditionals that marginals imply, D K calls' worth in one batch: logits[b, j, k] = log_marginal(x with x_j = k + 1). With them a
/// model needs no second head.
any_order::Conditionals conditionals_of_marginals(std::function<Tensor(const Tensor& x)> log_marginal, int64_t symbols);
/// Draws the missing variables of x in a random order, the known ones kept. Throws as any_order::fill.
Tensor conditional_sample(const Heads& heads, const Tensor& x, Generator& generator = default_generator());

// -- losses -----------------------------------------------------------------------------------------------

struct SelfConsistency {
  Tensor loss;      ///< mean over rows of residual², a scalar
  Tensor residual;  ///< [B]
};
/// r = log p(x_{rank<d}) − [log p(x_{rank<d−1}) + log p(x_j | x_{rank<d−1})], j the variable of rank d − 1, d i64 [B] in 1 … D. Both
/// marginals are one call, and nothing is detached. Throws ValueError for missing symbols, ranks that are no permutation or a d outside its
/// range.
SelfConsistency self_consistency(const Heads& heads, const Tensor& x, const Tensor& rank, const Tensor& d);
/// From the answers themselves: current − (previous + log softmax(logits)[label]), [B]; logits [B, K], label i64 [B] in 0 … K − 1.
Tensor residuals(const Tensor& previous, const Tensor& logits, const Tensor& label, const Tensor& current);
/// (log p(nothing known) − log Z)²: log_z a number or a learned scalar.
Tensor boundary_loss(const Heads& heads, int64_t variables, const Tensor& log_z);

/// d uniform in 1 … D, one a row.
Tensor random_steps(int64_t rows, int64_t variables, Generator& generator = default_generator());

/// Maximum likelihood, second stage: D · ½ (L_mc(data) + L_mc(samples)) + log p(nothing)², at steps and orders drawn anew, for the marginal
/// head alone (the conditionals, trained before by any_order::losses, are not recorded).
Tensor likelihood_loss(const Heads& heads, const Tensor& data, const Tensor& samples, Generator& generator = default_generator());

}  // namespace plumb::methods::mam
