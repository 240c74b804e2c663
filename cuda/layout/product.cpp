// Strides to leading dimensions.
#include "cuda/layout/product.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/core/data_kernels.h"

namespace plumb::cuda_layout {

std::optional<StoredMatrix> stored_by_columns(int64_t rows, int64_t columns, int64_t row_stride, int64_t column_stride) {
  bool dense_columns = rows == 1 || row_stride == 1, dense_rows = columns == 1 || column_stride == 1;
  if (dense_columns && (columns == 1 || column_stride >= rows)) return StoredMatrix{false, columns == 1 ? rows : column_stride};
  if (dense_rows && (rows == 1 || row_stride >= columns)) return StoredMatrix{true, rows == 1 ? columns : row_stride};
  return {};
}

Tensor row_major_copy(const Tensor& x) {
  Tensor copy = empty_like(x, "matmul");
  kernel::copy(x.device(), x, copy);
  return copy;
}

int64_t alignment_of(const void* address) {
  auto bits = reinterpret_cast<uintptr_t>(address);
  return bits == 0 ? 256 : std::min<int64_t>(256, static_cast<int64_t>(bits & (~bits + 1)));
}

size_t ProductLayout::hash() const {
  size_t h = 0;
  auto mix = [&h](int64_t v) { h = (h ^ static_cast<size_t>(v)) * 0x9E3779B97F4A7C15u, h ^= h >> 29; };
  for (int64_t v : {static_cast<int64_t>(type),
                    static_cast<int64_t>(tf32 | first.transposed << 1 | second.transposed << 2 | accumulate << 3 | bias << 4 | before << 5),
                    static_cast<int64_t>(finish), batch, m, n, k, first.stride, second.stride, first_batch, second_batch, first_alignment,
                    second_alignment, out_alignment, bias_alignment, before_alignment})
    mix(v);
  return h;
}

std::string ProductLayout::key() const {
  const char* finishes[] = {"", " gelu", " gelu_backward"};
  return fmt::format("{}{} {}x{}x{}x{} {}{}+{} {}{}+{} {}{}{}{} @{},{},{},{},{}", name(type), tf32 ? " tf32" : "", batch, m, n, k,
                     first.transposed ? "t" : "n", first.stride, first_batch, second.transposed ? "t" : "n", second.stride, second_batch,
                     accumulate ? "+out" : "", bias ? "+bias" : "", finishes[static_cast<int>(finish)], before ? "+before" : "",
                     first_alignment, second_alignment, out_alignment, bias_alignment, before_alignment);
}

namespace {

// The stride between the matrices of a batch: one matrix has none.
int64_t batch_stride(const Tensor& x) { return x.shape()[0] == 1 ? 0 : x.strides()[0]; }

}  // namespace

ProductPlan plan_product(const Tensor& a, const Tensor& b, bool bias, bool accumulate, const Tensor& out, bool tf32) {
  int64_t m = out.shape()[1], n = out.shape()[2], k = a.shape()[2];
  auto first = stored_by_columns(n, k, b.strides()[2], b.strides()[1]), second = stored_by_columns(k, m, a.strides()[2], a.strides()[1]);
  ProductPlan plan{.copy_a = !second || batch_stride(a) < 0, .copy_b = !first || batch_stride(b) < 0};
  if (plan.copy_a || plan.copy_b) return plan;
  plan.layout = {.type = a.dtype(),
                 .tf32 = tf32 && a.dtype() == f32,
                 .batch = out.shape()[0],
                 .m = m,
                 .n = n,
                 .k = k,
                 .first = *first,
                 .second = *second,
                 .first_batch = batch_stride(b),
                 .second_batch = batch_stride(a),
                 .accumulate = accumulate,
                 .bias = bias,
                 .first_alignment = alignment_of(b.raw_data()),
                 .second_alignment = alignment_of(a.raw_data()),
                 .out_alignment = alignment_of(out.raw_data())};
  return plan;
}

}  // namespace plumb::cuda_layout
