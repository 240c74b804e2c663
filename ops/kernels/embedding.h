// Kernel slots of embedding.
#pragma once
#include "engine/core/kernel.h"
#include "engine/core/tensor.h"

namespace plumb::kernel {

/// y[i] = weight[indices[i]], rows of zeros where the index is `zero_row` (−1: none). All row-major; indices i64 or i32.
/// Throws IndexError before writing if an index is outside the table.
inline constinit Kernel<void(const Tensor& weight, const Tensor& indices, int64_t zero_row, Tensor& y)> embedding{"embedding"};
/// dweight[r] = Σ of dy[i] over the i with indices[i] = r, in order of i; row `skip_row` stays 0. dweight is f32 if dy has 16 bits.
inline constinit Kernel<void(const Tensor& dy, const Tensor& indices, int64_t skip_row, Tensor& dweight)> embedding_backward{
    "embedding_backward"};

/// y[b] = Σ scale[i] weight[indices[i]] over i from starts[b] to starts[b + 1]; indices and starts i64, scale in the type of arithmetic.
inline constinit Kernel<void(const Tensor& weight, const Tensor& indices, const Tensor& starts, const Tensor& scale, Tensor& y)>
    embedding_bag{"embedding_bag"};
/// Its gradients: dweight[indices[i]] += scale[i] dy[bag], dscale[i] = ⟨dy[bag], weight[indices[i]]⟩, both in the type of arithmetic;
/// undefined ones are not computed.
inline constinit Kernel<void(const Tensor& dy, const Tensor& weight, const Tensor& indices, const Tensor& starts, const Tensor& scale,
                             Tensor& dweight, Tensor& dscale)>
    embedding_bag_backward{"embedding_bag_backward"};

}  // namespace plumb::kernel
