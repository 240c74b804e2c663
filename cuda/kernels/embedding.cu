// Embedding on the GPU. Forward copies rows in pieces of 16 bytes. Backward joins rows by index (segments.h), in the order of the indices,
// so it is deterministic and as fast for a token that occurs thousands of times as for a rare one.
// Bytes: forward reads and writes the rows once; backward reads dy once and writes dweight once (twice where it is hit). Bound: memory.
#include "ops/kernels/embedding.h"

#include "cuda/kernels/segments.h"
#include "cuda/runtime/deferred_error.h"

namespace plumb::cuda_backend {
namespace {

/// Indices of either type.
struct Indices {
  const void* data;
  bool wide;
  explicit Indices(const Tensor& t) : data(t.raw_data()), wide(t.dtype() == i64) {
    if (t.dtype() != i64 && t.dtype() != i32) unsupported_dtype("embedding", t.dtype());
  }
  __device__ int64_t operator[](int64_t i) const {
    return wide ? static_cast<const int64_t*>(data)[i] : static_cast<const int32_t*>(data)[i];
  }
};

// Rows of `width` pieces of type Piece.
template <typename Piece>
__global__ void copy_rows(const Piece* table, Indices index, int64_t pieces_in_all, int64_t width, RangeCheck range, int64_t zero_row,
                          Piece* y) {
  bool small = pieces_in_all < int64_t{1} << 31;
  for (int64_t i = thread_index(); i < pieces_in_all; i += grid_threads()) {
    int64_t row = small ? static_cast<uint32_t>(i) / static_cast<uint32_t>(width) : i / width, from = index[row];
    y[i] = range.outside(from) || from == zero_row ? Piece{} : table[from * width + (i - row * width)];
  }
}

template <typename Piece>
void copy_rows_of(const Tensor& weight, const Indices& index, int64_t n, int64_t row_bytes, int64_t zero_row, Tensor& y) {
  int64_t width = row_bytes / static_cast<int64_t>(sizeof(Piece));
  launch(copy_rows<Piece>, grid_for(n * width), static_cast<const Piece*>(weight.raw_data()), index, n * width, width,
         range_check("embedding", "index", 0, weight.shape()[0]), zero_row, static_cast<Piece*>(y.raw_data()));
}

void embedding(const Tensor& weight, const Tensor& indices, int64_t zero_row, Tensor& y) {
  Indices index(indices);
  int64_t n = indices.numel(), bytes = weight.shape()[1] * static_cast<int64_t>(item_size(weight.dtype()));
  if (bytes % 16 == 0 && aligned16(weight.raw_data()) && aligned16(y.raw_data()))
    return copy_rows_of<Packed<uint32_t, 4>>(weight, index, n, bytes, zero_row, y);
  switch (item_size(weight.dtype())) {
    case 8: return copy_rows_of<uint64_t>(weight, index, n, bytes, zero_row, y);
    case 4: return copy_rows_of<uint32_t>(weight, index, n, bytes, zero_row, y);
    case 2: return copy_rows_of<uint16_t>(weight, index, n, bytes, zero_row, y);
    default: return copy_rows_of<uint8_t>(weight, index, n, bytes, zero_row, y);
  }
}

// Indices outside, of which forward has told, get the key `rows`.
__global__ void read_keys(Indices index, int64_t n, int64_t rows, int64_t* keys) {
  for (int64_t i = thread_index(); i < n; i += grid_threads()) keys[i] = index[i] < 0 || index[i] >= rows ? rows : index[i];
}

template <typename S>
struct SumRows {
  using Value = compute_t<S>;
  const S* dy;
  int64_t rows, columns, skip_row;
  Value* dweight;
  __device__ Value read(int64_t place, int64_t column) const { return load(dy[place * columns + column]); }
  __device__ Value join(Value a, Value b) const { return a + b; }
  __device__ void put(int64_t row, int64_t column, Value v) const {
    if (row != skip_row && row < rows) dweight[row * columns + column] = v;
  }
};

void embedding_backward(const Tensor& dy, const Tensor& indices, int64_t skip_row, Tensor& dweight) {
  int64_t n = indices.numel(), rows = dweight.shape()[0], columns = dweight.shape()[1];
  if (dweight.numel() == 0) return;
  check(cudaMemsetAsync(dweight.raw_data(), 0, static_cast<size_t>(dweight.numel()) * item_size(dweight.dtype()), current_stream()),
        "embedding");
  Scratch<int64_t> keys(n);
  launch(read_keys, grid_for(n), Indices(indices), n, rows, keys.data());
  visit_floating("embedding", dy.dtype(), [&]<typename S>() {
    join_segments(SumRows<S>{dy.data<S>(), rows, columns, skip_row, dweight.data<compute_t<S>>()}, keys.data(), n, rows + 1, columns);
  });
}

}  // namespace

void register_embedding() {
  kernel::embedding.set(DeviceType::cuda, embedding);
  kernel::embedding_backward.set(DeviceType::cuda, embedding_backward);
}

}  // namespace plumb::cuda_backend
