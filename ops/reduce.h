// Reductions. `dims` are counted from the end if negative; none given means all. keepdim leaves reduced dimensions with size 1.
// Sums run in an order fixed by the shape, so that results do not depend on the number of threads.
#pragma once
#include <vector>

#include "engine/core/tensor.h"

namespace plumb {

/// Σ x. Integers and bools sum to i64.
Tensor sum(const Tensor& x, const std::vector<int>& dims = {}, bool keepdim = false);
/// Σ x / n. Integers are taken as f32. The mean of nothing is NaN.
Tensor mean(const Tensor& x, const std::vector<int>& dims = {}, bool keepdim = false);

}  // namespace plumb
