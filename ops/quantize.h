// Fake quantisation: numbers rounded to a grid of integers times a step while training, with gradients that pass straight through the
// rounding. Results keep x's type; 16-bit types are computed in f32. Halves round to even. All throw DTypeError for integers, ValueError
// for steps that are not positive and finite, or unless quant_min < quant_max.
#pragma once
#include "engine/core/tensor.h"

namespace plumb {

/// round(x), with derivative 1 (Bengio, Léonard & Courville 2013).
Tensor round_ste(const Tensor& x);

/// (q − zero_point) scale with q = min(max(round(x / scale + zero_point), quant_min), quant_max). The derivative is 1 where quant_min ≤
/// round(x / scale + zero_point) ≤ quant_max, else 0. Throws ValueError for a zero point outside [quant_min, quant_max].
Tensor fake_quantize_per_tensor_affine(const Tensor& x, double scale, int64_t zero_point, int64_t quant_min, int64_t quant_max);
/// The same with a scale and a zero point (i64 or i32) for each place along `axis`, which are constants to the derivative. Throws
/// ShapeError unless both are vectors of that size.
Tensor fake_quantize_per_channel_affine(const Tensor& x, const Tensor& scale, const Tensor& zero_point, int axis, int64_t quant_min,
                                        int64_t quant_max);

struct LearnedStepOptions {
  int64_t quant_min = -128, quant_max = 127;  ///< signed weights of b bits: −2^(b−1) and 2^(b−1) − 1; activations ≥ 0: 0 and 2^b − 1
  int axis = 0;                 ///< along which a vector of steps runs
  bool scale_gradient = true;   ///< multiplies the step's gradient by 1/√(N quant_max), so that it learns at the pace of the weights
  int64_t elements = 0;         ///< N; 0: the elements of x that share a step (for activations, give the features of one example)
};
/// round(min(max(x / s, quant_min), quant_max)) s with a learned step s (LSQ: Esser et al., ICLR 2020), a single number or a vector along
/// `axis`:
///   d/dx = 1 where quant_min < x / s < quant_max, else 0
///   d/ds = round(x / s) − x / s there, quant_min below, quant_max above
/// Rounding passes straight through in the derivatives of these too, so second derivatives in x and s are 0. quant_min ≤ 0 < quant_max.
Tensor learned_step_quantize(const Tensor& x, const Tensor& step, const LearnedStepOptions& options = {});

}  // namespace plumb
