// Softmax and its relatives. 16-bit types are computed in f32. All throw IndexError if dim is out of range.
#pragma once
#include "engine/core/tensor.h"

namespace plumb {

/// softmax(x)_i = exp(x_i / τ) / Σ_j exp(x_j / τ) over `dim`, τ the temperature. Same shape as x. NaN in rows that hold one, and nowhere
/// else: entries of +∞ share the whole probability, a row of −∞ gives zeros. Throws ValueError unless τ > 0.
Tensor softmax(const Tensor& x, int dim, double temperature = 1);
/// log softmax(x / τ), without overflow or loss of small probabilities; a row of −∞ stays −∞. Throws ValueError unless τ > 0.
Tensor log_softmax(const Tensor& x, int dim, double temperature = 1);
/// softmax over the elements whose mask is true; 0 elsewhere, and everywhere in a row without any. `mask` is bool and broadcasts to x's
/// shape, ShapeError otherwise. Throws ValueError unless τ > 0.
Tensor masked_softmax(const Tensor& x, const Tensor& mask, int dim, double temperature = 1);
/// log of masked_softmax: −∞ where the mask is false.
Tensor masked_log_softmax(const Tensor& x, const Tensor& mask, int dim, double temperature = 1);

}  // namespace plumb
