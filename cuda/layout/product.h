// How a product of strided operands is told to cuBLASLt, which stores matrices by columns. Plain host code, tested without a GPU.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "engine/core/tensor.h"

namespace plumb::cuda_layout {

/// A matrix [rows, columns] as the library reads it: by columns, `stride` elements apart, or the transpose of such a one.
struct StoredMatrix {
  bool transposed = false;
  int64_t stride = 1;  ///< between the columns of what is stored (the leading dimension)
  friend bool operator==(const StoredMatrix&, const StoredMatrix&) = default;
};
/// Nothing if neither form fits the strides (in elements): then a row-major copy does.
std::optional<StoredMatrix> stored_by_columns(int64_t rows, int64_t columns, int64_t row_stride, int64_t column_stride);

/// x by rows, whatever its strides: a copy, even where a batch repeats one matrix.
Tensor row_major_copy(const Tensor& x);

/// What an operand's address is a multiple of, a power of two up to 256: vectorised loads depend on it.
int64_t alignment_of(const void* address);

/// What is done to a product on its way to memory: nothing, GELU (tanh form), or times the derivative of GELU at what was before it.
enum class Finish : uint8_t { plain, gelu, gelu_backward };

/// out = a · b (+ bias, one a column; + out) of row-major out, as outᵀ [n, m] = bᵀ [n, k] · aᵀ [k, m] by columns: the library's first
/// factor is bᵀ. All that the choice of an algorithm depends on.
struct ProductLayout {
  DType type = DType::f32;
  bool tf32 = false;  ///< f32 factors may be rounded to TF32
  int64_t batch = 1, m = 0, n = 0, k = 0;
  StoredMatrix first, second;
  int64_t first_batch = 0, second_batch = 0;  ///< elements from one product's factor to the next; 0: shared
  bool accumulate = false, bias = false;
  Finish finish = Finish::plain;
  bool before = false;  ///< what is before GELU is written (gelu) or read (gelu_backward)
  int64_t first_alignment = 256, second_alignment = 256, out_alignment = 256, bias_alignment = 256, before_alignment = 256;

  friend bool operator==(const ProductLayout&, const ProductLayout&) = default;
  size_t hash() const;
  /// The key of its algorithm in a file: words that name every field.
  std::string key() const;
};
/// The layout of kernel::matmul's operands, a [batch, m, k] and b [batch, k, n] of any strides. Where the strides of one do not fit, that
/// is all that it says: make a row-major copy of it and ask again.
struct ProductPlan {
  ProductLayout layout;
  bool copy_a = false, copy_b = false;
};
ProductPlan plan_product(const Tensor& a, const Tensor& b, bool bias, bool accumulate, const Tensor& out, bool tf32);

}  // namespace plumb::cuda_layout
