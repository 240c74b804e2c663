// Reductions. `dims` are counted from the end if negative; none given means all. keepdim leaves reduced dimensions with size 1.
// Sums run in an order fixed by the shape, so that results do not depend on the number of threads.
#pragma once
#include <vector>

#include "engine/core/tensor.h"

namespace plumb {

/// Values and where along the dimension they were found (i64).
struct ValuesAndIndices {
  Tensor values, indices;
};

/// Σ x. Integers and bools sum to i64.
Tensor sum(const Tensor& x, const std::vector<int>& dims = {}, bool keepdim = false);
/// Σ x / n. Integers are taken as f32. The mean of nothing is NaN.
Tensor mean(const Tensor& x, const std::vector<int>& dims = {}, bool keepdim = false);

/// The largest (smallest) along `dim` and the first place where it is. A NaN counts as it. The gradient goes to that place.
/// Throws ValueError if there is nothing to choose from, as do the others.
ValuesAndIndices max(const Tensor& x, int dim, bool keepdim = false);
ValuesAndIndices min(const Tensor& x, int dim, bool keepdim = false);
/// The largest (smallest) of all; equal ones share the gradient.
Tensor max(const Tensor& x);
Tensor min(const Tensor& x);
/// The largest (smallest) over `dims`; equal ones share the gradient.
Tensor amax(const Tensor& x, const std::vector<int>& dims = {}, bool keepdim = false);
Tensor amin(const Tensor& x, const std::vector<int>& dims = {}, bool keepdim = false);
/// The first place of the largest (smallest) along `dim`, or in row-major order. i64, no derivative.
Tensor argmax(const Tensor& x, int dim, bool keepdim = false);
Tensor argmin(const Tensor& x, int dim, bool keepdim = false);
Tensor argmax(const Tensor& x);
Tensor argmin(const Tensor& x);

}  // namespace plumb
