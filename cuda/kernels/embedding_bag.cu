// Embedding bags on the GPU. Forward: threads take neighbouring columns of a bag and walk its rows. Backward joins scaled rows of dy by
// index (segments.h); the gradients of the scales are dot products, a warp each. Bytes: the rows read once. Bound: memory.
#include "cuda/kernels/reduce_engine.h"
#include "cuda/kernels/segments.h"
#include "engine/core/tensor.h"
#include "ops/kernels/embedding.h"

namespace plumb::cuda_backend {
namespace {

// Indices are checked before (index.cu's check_index), but the host may not have heard yet: rows outside the table count as zeros.
template <typename S>
__global__ void sum_bags(const S* table, int64_t rows, const int64_t* index, const int64_t* start, const compute_t<S>* scale, int64_t bags,
                         int64_t columns, S* y) {
  for (int64_t i = thread_index(); i < bags * columns; i += grid_threads()) {
    int64_t bag = i / columns, column = i - bag * columns;
    compute_t<S> total = 0;
#pragma unroll 4
    for (int64_t k = start[bag]; k < start[bag + 1]; ++k) {
      int64_t row = index[k];
      if (row >= 0 && row < rows) total += scale[k] * load(table[row * columns + column]);
    }
    y[i] = static_cast<S>(total);
  }
}

// bag_of[i] ← the bag that entry i belongs to: the last whose start is not beyond it.
__global__ void find_bags(const int64_t* start, int64_t bags, const int64_t* index, int64_t n, int64_t rows, int64_t* bag_of,
                          int64_t* keys) {
  for (int64_t i = thread_index(); i < n; i += grid_threads()) {
    int64_t low = 0, high = bags - 1;
    while (low < high) {
      int64_t middle = low + (high - low + 1) / 2;
      if (start[middle] <= i) low = middle;
      else high = middle - 1;
    }
    bag_of[i] = low;
    keys[i] = index[i] < 0 || index[i] >= rows ? rows : index[i];
  }
}

template <typename S>
struct SumScaledRows {
  using Value = compute_t<S>;
  const S* dy;
  const int64_t* bag_of;
  const Value* scale;
  int64_t rows, columns;
  Value* dweight;
  __device__ Value read(int64_t place, int64_t column) const { return scale[place] * load(dy[bag_of[place] * columns + column]); }
  __device__ Value join(Value a, Value b) const { return a + b; }
  __device__ void put(int64_t row, int64_t column, Value v) const {
    if (row < rows) dweight[row * columns + column] = v;
  }
};

// ⟨dy[bag of i], weight[keys[i]]⟩; the element at i · columns + c is the product of column c.
template <typename S>
struct RowProducts {
  using Value = compute_t<S>;
  static constexpr int kPack = 1;
  const S *dy, *table;
  const int64_t *keys, *bag_of;
  int64_t rows, columns;
  Value* dscale;
  __device__ Value start() const { return 0; }
  __device__ Value join(Value a, Value b) const { return a + b; }
  __device__ Value element(int64_t, int64_t i, int64_t c) const {
    return keys[i] < rows ? load(dy[bag_of[i] * columns + c]) * load(table[keys[i] * columns + c]) : Value(0);
  }
  __device__ void store(int64_t i, Value v) const { dscale[i] = v; }
};

void embedding_bag(const Tensor& weight, const Tensor& indices, const Tensor& starts, const Tensor& scale, Tensor& y) {
  visit_floating("embedding_bag", weight.dtype(), [&]<typename S>() {
    launch(sum_bags<S>, grid_for(y.numel()), weight.data<S>(), weight.shape()[0], indices.data<int64_t>(), starts.data<int64_t>(),
           scale.data<compute_t<S>>(), y.shape()[0], y.shape()[1], y.data<S>());
  });
}

void embedding_bag_backward(const Tensor& gradient, const Tensor& weight, const Tensor& indices, const Tensor& starts, const Tensor& scale,
                            Tensor& dweight, Tensor& dscale) {
  int64_t n = indices.numel(), bags = gradient.shape()[0], rows = weight.shape()[0], columns = gradient.shape()[1];
  Scratch<int64_t> bag_of(n), keys(n);
  launch(find_bags, grid_for(bags > 0 ? n : 0), starts.data<int64_t>(), bags, indices.data<int64_t>(), n, rows, bag_of.data(), keys.data());
  visit_floating("embedding_bag", weight.dtype(), [&]<typename S>() {
    using C = compute_t<S>;
    const S* dy = gradient.data<S>();
    if (dscale.defined()) {
      ReduceAxes entries, over;
      entries.add({n, columns, 1, 1});
      over.add({columns, 1, 0, 0});
      reduce_axes(RowProducts<S>{dy, weight.data<S>(), keys, bag_of, rows, columns, dscale.data<C>()}, entries, over);
    }
    if (!dweight.defined() || dweight.numel() == 0) return;
    check(cudaMemsetAsync(dweight.raw_data(), 0, static_cast<size_t>(dweight.numel()) * sizeof(C), current_stream()), "embedding_bag");
    join_segments(SumScaledRows<S>{dy, bag_of, scale.data<C>(), rows, columns, dweight.data<C>()}, keys.data(), n, rows + 1, columns);
  });
}

}  // namespace

void register_embedding_bag() {
  kernel::embedding_bag.set(DeviceType::cuda, embedding_bag);
  kernel::embedding_bag_backward.set(DeviceType::cuda, embedding_bag_backward);
}

}  // namespace plumb::cuda_backend
