// Running sums and products along a dimension, and the linear recurrence behind them.
#pragma once
#include "engine/core/tensor.h"

namespace plumb {

/// y_t = Σ_{s ≤ t} x_s along `dim`. Integers and bools give i64. Sums are kept in f64.
Tensor cumsum(const Tensor& x, int dim);
/// y_t = Π_{s ≤ t} x_s along `dim`. Integers and bools give i64. The derivative is exact where elements are 0.
Tensor cumprod(const Tensor& x, int dim);
/// h_t = a_t h_{t−1} + b_t along `dim`, with h = 0 before the first (so a's first does not matter); run from the end if `reverse`. Where
/// a_t = 0 it starts anew: h_t = b_t, whatever was before.
/// a and b broadcast. Discounted returns, eligibility traces, linear recurrent layers. Kept in f64.
Tensor linear_scan(const Tensor& a, const Tensor& b, int dim, bool reverse = false);

}  // namespace plumb
