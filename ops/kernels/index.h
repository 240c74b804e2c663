// Kernel slots of indexing.
#pragma once
#include "engine/core/kernel.h"
#include "engine/core/tensor.h"

namespace plumb {

/// How an element joins what is already in its place.
enum class ScatterOp : uint8_t { copy, add, maximum, minimum };

namespace kernel {

/// y[p] = x[q] where q is p with its coordinate `dim` replaced by index[p]. index (i64, every value in range) has y's shape, whose
/// sizes but the one along `dim` are at most x's. y is row-major; x and index have any strides (an expanded index is cheap).
inline constinit Kernel<void(const Tensor& x, int dim, const Tensor& index, Tensor& y)> gather{"gather"};
/// z[q] ← z[q] op src[p], for every p in order along `dim`, with q as in gather; index and src have one shape and any strides, z is
/// row-major and of src's type. `copy` takes all types (the last in order stays), the others f64, f32 and i64.
inline constinit Kernel<void(ScatterOp op, int dim, const Tensor& index, const Tensor& src, Tensor& z)> scatter{"scatter"};
/// Whether an element of index (i64, any strides) lies outside [low, high), and the first such one. A GPU does not make the host wait for
/// the answer: it says no, and an IndexError naming `op` is thrown where the host next waits.
inline constinit Kernel<void(const char* op, const Tensor& index, int64_t low, int64_t high, bool& found, int64_t& value)> check_index{
    "check_index"};
/// How many elements of mask (bool, row-major) are true, and their places in order: places[i], i64, one for each.
inline constinit Kernel<void(const Tensor& mask, int64_t& count)> count_true{"count_true"};
inline constinit Kernel<void(const Tensor& mask, Tensor& places)> true_places{"true_places"};

}  // namespace kernel
}  // namespace plumb
