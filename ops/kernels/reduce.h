// Kernel slots of reductions.
#pragma once
#include "engine/core/kernel.h"
#include "engine/core/tensor.h"

namespace plumb {

enum class ReduceOp : uint8_t { sum, sum_of_squares, product, maximum, minimum };
enum class ShiftedReduceOp : uint8_t { squared_deviation, exponential };

namespace kernel {

/// y[o] = op over r of x[o, r]: x is seen as [outer, reduced] with the given geometry; y is row-major with one element for each outer
/// index. `outer` and `reduced` are shapes with x's strides (in elements). Sums take floating x (y has its type, or f32 where that is 16
/// bits) and i64, i32 and u8 (y is i64); squares f64 and f32; products these and i64; extrema these and u8. Extrema are NaN if an element
/// is; of nothing they are the type's lowest (highest). The order of additions follows from the geometry alone.
inline constinit Kernel<void(ReduceOp op, const Tensor& x, const Shape& outer, const Strides& outer_strides, const Shape& reduced,
                             const Strides& reduced_strides, Tensor& y)> reduce{"reduce"};
/// y[o] = Σ_r (x[o, r] − shift[o])² or Σ_r exp(x[o, r] − shift[o]); shift and y are row-major, of x's type, f64 or f32.
inline constinit Kernel<void(ShiftedReduceOp op, const Tensor& x, const Tensor& shift, const Shape& outer, const Strides& outer_strides,
                             const Shape& reduced, const Strides& reduced_strides, Tensor& y)> reduce_shifted{"reduce_shifted"};
/// The largest (smallest) of x [outer, n, inner] along n ≥ 1 and the first place where it is; a NaN counts as it. x is row-major,
/// values and indices (i64) hold outer·inner elements. All types but bool.
inline constinit Kernel<void(bool largest, const Tensor& x, Tensor& values, Tensor& indices)> extremum{"extremum"};

}  // namespace kernel
}  // namespace plumb
