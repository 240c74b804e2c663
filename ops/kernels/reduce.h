// Kernel slots of reductions.
#pragma once
#include "engine/core/kernel.h"
#include "engine/core/tensor.h"

namespace plumb {

enum class ReduceOp : uint8_t { sum, sum_of_squares, product, maximum, minimum };

namespace kernel {

/// y[o] = op over r of x[o, r]: x is seen as [outer, reduced] with the given geometry; y is contiguous with one element for each outer index.
/// `outer` and `reduced` are shapes with x's strides (in elements). x is floating or i64. Sums in pairs of fixed shape: the result does not depend on threads.
inline constinit Kernel<void(ReduceOp op, const Tensor& x, const Shape& outer, const Strides& outer_strides, const Shape& reduced,
                             const Strides& reduced_strides, Tensor& y)> reduce{"reduce"};
/// The largest (smallest) of x [outer, n, inner] along n ≥ 1 and the first place where it is; a NaN counts as it. x is row-major,
/// values and indices (i64) hold outer·inner elements. All types but bool.
inline constinit Kernel<void(bool largest, const Tensor& x, Tensor& values, Tensor& indices)> extremum{"extremum"};

}  // namespace kernel
}  // namespace plumb
