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
/// Π x. Integers and bools give i64. The derivative is exact where elements are 0.
Tensor prod(const Tensor& x, const std::vector<int>& dims = {}, bool keepdim = false);
/// Σ (x − mean)² / (n − correction) by two passes: correction 1 (or true) is the unbiased estimate, 0 (or false) the population's.
/// Where n ≤ correction: +∞, or NaN if all elements are equal. Integers are taken as f32, as in all that follow but the counts.
Tensor var(const Tensor& x, const std::vector<int>& dims = {}, double correction = 1, bool keepdim = false);
/// √var; its derivative at 0 is taken as 0. Not called std, which is a namespace.
Tensor std_dev(const Tensor& x, const std::vector<int>& dims = {}, double correction = 1, bool keepdim = false);
/// (Σ |x|^p)^(1/p); the largest |x| for p = ∞, the smallest for −∞ (equal ones share the gradient), the number of nonzeros for 0. The
/// derivative at x = 0 is taken as 0. Neither x^p nor its sum overflows for general p; squares (p = 2) may.
Tensor norm(const Tensor& x, double p = 2, const std::vector<int>& dims = {}, bool keepdim = false);
/// log Σ eˣ without overflow; −∞ where all elements are −∞ or there are none, +∞ where one is. The gradient is the softmax: 0 for −∞ (also
/// where all are), and where some elements are +∞ they share it equally.
Tensor logsumexp(const Tensor& x, const std::vector<int>& dims = {}, bool keepdim = false);

/// Whether an element (every element) is not 0; bool. Of nothing: false (true).
Tensor any(const Tensor& x, const std::vector<int>& dims = {}, bool keepdim = false);
Tensor all(const Tensor& x, const std::vector<int>& dims = {}, bool keepdim = false);
/// How many elements are not 0, i64.
Tensor count_nonzero(const Tensor& x, const std::vector<int>& dims = {}, bool keepdim = false);

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
