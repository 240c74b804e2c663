// Softmax and its relatives. 16-bit types are computed in f32. All throw IndexError if dim is out of range.
#pragma once
#include "engine/core/tensor.h"

namespace plumb {

/// softmax(x)_i = exp(x_i / τ) / Σ_j exp(x_j / τ) over `dim`, τ the temperature. Same shape as x. NaN-free for rows with at least one finite
/// entry; a row of −inf gives zeros. Throws ValueError unless τ > 0.
Tensor softmax(const Tensor& x, int dim, double temperature = 1);
/// log softmax(x), without overflow or loss of small probabilities; a row of −inf stays −inf.
Tensor log_softmax(const Tensor& x, int dim, double temperature = 1);
/// softmax over the elements whose mask is true; 0 elsewhere, and everywhere in a row without any. `mask` is bool and broadcasts to x's shape.
Tensor masked_softmax(const Tensor& x, const Tensor& mask, int dim, double temperature = 1);
/// log of masked_softmax: −inf where the mask is false.
Tensor masked_log_softmax(const Tensor& x, const Tensor& mask, int dim, double temperature = 1);

}  // namespace plumb
