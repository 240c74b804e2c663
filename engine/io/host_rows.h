// What every writer of a file needs: a tensor's elements, row-major, in this process's memory.
#pragma once
#include <cstddef>

#include "engine/core/tensor.h"

namespace plumb {

/// `x` itself where it is row-major on the CPU, else a copy that is, outside the graph.
Tensor host_rows(const Tensor& x);
/// Bytes of the elements of `x`.
inline size_t byte_size(const Tensor& x) { return static_cast<size_t>(x.numel()) * item_size(x.dtype()); }

}  // namespace plumb
