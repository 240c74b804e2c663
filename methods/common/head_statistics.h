// What the loss of a linear head is like as a function of the head's weights: gradient, Hessian-vector products, the Hessian's diagonal.
#pragma once
#include "engine/core/tensor.h"

namespace plumb::methods {

/// One batch seen by a linear head θ = [W | b], C × k with k = d + 1 (or d without a bias). With a_i = [f_i; 1], p_i the probabilities,
/// r_i = p_i − y_i and means over the n examples, all of them closed forms:
///   loss  L    = mean_i CE(softmax(W f_i + b), y_i)         or, for a head with one row, the binary cross-entropy of σ(w·f_i + b)
///   G     = ∂L/∂θ = mean_i r_i a_iᵀ                                                              [C, k]
///   H[V]  = ∂²L/∂θ² V = mean_i ((diag p_i − p_i p_iᵀ) V a_i) a_iᵀ      (one row: p (1 − p))        [C, k]
///   diag H = mean_i p_ic (1 − p_ic) a_ik²                                                        [C, k]
/// They are ordinary expressions in features, weight and bias, so that penalties on them need first derivatives only.
class HeadStatistics {
 public:
  /// features [n, d], labels [n] i64 in [0, C) (0 or 1 for one row), weight [C, d], bias [C] or undefined. Throws ShapeError where these do
  /// not fit together, ValueError for an empty batch, IndexError (softmax) or ValueError (one row) for a label outside its range.
  HeadStatistics(const Tensor& features, const Tensor& labels, const Tensor& weight, const Tensor& bias = {});

  const Tensor& logits() const { return logits_; }  ///< [n, C]
  const Tensor& loss() const { return loss_; }
  const Tensor& gradient() const { return gradient_; }
  /// H[V] for v [C, k], or for every one of several, [.., C, k], by the same two products. Throws ShapeError for another shape.
  Tensor hvp(const Tensor& v) const;
  Tensor hessian_diagonal() const;
  /// The whole Hessian, [C k, C k], rows and columns in the order of θ's elements: for small heads.
  Tensor hessian() const;
  /// mean_i (r_i a_iᵀ − G)², the variance over examples of each element of the gradient, [C, k].
  Tensor gradient_variance() const;

 private:
  Tensor mean_outer(const Tensor& rows) const;  // mean_i rows_i a_iᵀ

  Tensor inputs_, logits_, loss_, probabilities_, residuals_, gradient_;  // inputs_: a [n, k]
};

/// Hutchinson's estimate of the diagonal of a symmetric H known by its products: mean_s z_s ⊙ H[z_s], for probes [S, ..] of ±1. Over all
/// sign vectors it is exact. `hvp` gets one probe at a time; where it takes all at once, mean(z * hvp(z), {0}) is the same. Throws
/// ValueError without probes.
template <typename Hvp>
Tensor hutchinson_diagonal(Hvp&& hvp, const Tensor& probes);
/// S probes of the given shape, each element −1 or 1 with equal probability (Rademacher), from the default generator. Throws ValueError for
/// S < 1.
Tensor rademacher(int64_t probes, const Shape& shape, DType dtype = f32);

namespace detail {
/// Σ_s z_s ⊙ products_s / S.
Tensor mean_of_products(const Tensor& probes, const std::vector<Tensor>& products);
Tensor probe(const Tensor& probes, int64_t s);
}  // namespace detail

template <typename Hvp>
Tensor hutchinson_diagonal(Hvp&& hvp, const Tensor& probes) {
  std::vector<Tensor> products;
  for (int64_t s = 0; s < probes.size(0); ++s) products.push_back(hvp(detail::probe(probes, s)));
  return detail::mean_of_products(probes, products);
}

/// The largest |eigenvalue| of a symmetric matrix: its spectral norm. Throws as eigh.
double spectral_norm_of_symmetric(const Tensor& matrix);

}  // namespace plumb::methods
