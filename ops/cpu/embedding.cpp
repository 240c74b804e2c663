// Embedding on the CPU. Forward copies rows. Backward gives each thread whole strips of columns and walks the indices in order, so that
// every sum has one order whatever the number of threads. Bytes: the rows read and written once. Bound: memory.
#include "ops/kernels/embedding.h"

#include <cstring>

#include "ops/cpu/strided_loop.h"

namespace plumb::cpu_kernels {
namespace {

template <typename I>
void check_indices(const char* op, const I* index, int64_t n, int64_t rows) {
  bool inside = true;
  for (int64_t i = 0; i < n; ++i) inside &= static_cast<uint64_t>(index[i]) < static_cast<uint64_t>(rows);
  if (inside) return;
  for (int64_t i = 0; i < n; ++i)
    if (index[i] < 0 || index[i] >= rows)
      throw IndexError(std::string(op) + ": index " + std::to_string(index[i]) + " is outside [0, " + std::to_string(rows) + ")");
}

void embedding(const Tensor& weight, const Tensor& indices, int64_t zero_row, Tensor& y) {
  int64_t n = indices.numel(), rows = weight.shape()[0], columns = weight.shape()[1];
  size_t width = static_cast<size_t>(columns) * item_size(weight.dtype());
  auto* from = static_cast<const std::byte*>(weight.raw_data());
  auto* to = static_cast<std::byte*>(y.raw_data());
  visit_index("embedding", indices.dtype(), [&]<typename I>() {
    const I* index = indices.data<I>();
    check_indices("embedding", index, n, rows);
    parallel_for(n, std::max<int64_t>(1, kPointwiseGrain / std::max<int64_t>(1, columns)), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        std::byte* row = to + static_cast<size_t>(i) * width;
        if (index[i] == zero_row) std::memset(row, 0, width);
        else std::memcpy(row, from + static_cast<size_t>(index[i]) * width, width);
      }
    });
  });
}

template <typename S, typename I>
void sum_rows(const S* dy, const I* index, int64_t n, int64_t rows, int64_t columns, int64_t skip_row, compute_t<S>* dw) {
  constexpr int64_t kStrip = 64;
  int64_t strips = (columns + kStrip - 1) / kStrip, work = (n + rows) * std::min(columns, kStrip);
  parallel_for(strips, std::max<int64_t>(1, kPointwiseGrain / std::max<int64_t>(1, work)), [&](int64_t begin, int64_t end) {
    int64_t c0 = begin * kStrip, width = std::min(columns, end * kStrip) - c0;
    for (int64_t r = 0; r < rows; ++r) std::fill_n(dw + r * columns + c0, width, compute_t<S>(0));
    for (int64_t i = 0; i < n; ++i) {
      if (index[i] == skip_row) continue;
      const S* from = dy + i * columns + c0;
      compute_t<S>* into = dw + static_cast<int64_t>(index[i]) * columns + c0;
      for (int64_t c = 0; c < width; ++c) into[c] += static_cast<compute_t<S>>(from[c]);
    }
  });
}

void embedding_backward(const Tensor& dy, const Tensor& indices, int64_t skip_row, Tensor& dweight) {
  int64_t rows = dweight.shape()[0], columns = dweight.shape()[1];
  visit_floating("embedding", dy.dtype(), [&]<typename S>() {
    visit_index("embedding", indices.dtype(), [&]<typename I>() {
      sum_rows(dy.data<S>(), indices.data<I>(), indices.numel(), rows, columns, skip_row, dweight.data<compute_t<S>>());
    });
  });
}

}  // namespace

void register_embedding() {
  kernel::embedding.set(DeviceType::cpu, embedding);
  kernel::embedding_backward.set(DeviceType::cpu, embedding_backward);
}

}  // namespace plumb::cpu_kernels
