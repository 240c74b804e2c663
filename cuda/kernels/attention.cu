// The slots of attention: which kernels compute it, and the row products that the backward pass begins with.
#include <cmath>

#include "cuda/kernels/attention_backward.h"
#include "cuda/kernels/elements.h"
#include "cuda/runtime/launch.h"
#include "cuda/runtime/memory.h"
#include "cuda/runtime/warp.h"

namespace plumb::cuda_backend {
namespace {

// One warp a row of out and dout [B, H, T, E]. Bytes: both read once, 4 written for a row.
template <typename T, typename A>
__global__ void row_products_kernel(HeadRows<const T> out, HeadRows<const T> dout, int64_t rows, int heads, int queries, int width,
                                    A* sums) {
  for (int64_t row = thread_index() / 32; row < rows; row += grid_threads() / 32) {
    const int64_t b = row / queries / heads, h = row / queries % heads, query = row % queries;
    const T *y = out.of(b, h) + query * out.row, *dy = dout.of(b, h) + query * dout.row;
    A sum = 0;
    for (int c = lane_index(); c < width; c += 32) sum = std::fma(static_cast<A>(y[c]), static_cast<A>(dy[c]), sum);
    sum = warp_sum(sum);
    if (lane_index() == 0) sums[row] = sum;
  }
}

// The same in accesses of 16 bytes, kLanes neighbours of a warp a row, so that a warp reads several rows at once. On an H100 with rows of
// 64 bf16 (16 x 12 x 1024 of them) the backward pass takes 613 μs so, and 668 with the kernel above.
template <typename T, typename A, int kLanes>
__global__ void row_products_packed(HeadRows<const T> out, HeadRows<const T> dout, int all_heads, int heads, int queries, int width,
                                    A* sums) {
  constexpr int kEach = kPerAccess<T>;
  const int lane = static_cast<int>(threadIdx.x) % kLanes, first = static_cast<int>((blockIdx.x * blockDim.x + threadIdx.x) / kLanes);
  const int rows = static_cast<int>(gridDim.x * blockDim.x) / kLanes, rounds = (queries + rows - 1) / rows;
  for (int head = static_cast<int>(blockIdx.y); head < all_heads; head += static_cast<int>(gridDim.y)) {
    const T *y = out.of(head / heads, head % heads), *dy = dout.of(head / heads, head % heads);
    for (int round = 0; round < rounds; ++round) {  // all lanes take part in every sum
      const int query = first + round * rows;
      A sum = 0;
      for (int c = kEach * lane; query < queries && c < width; c += kEach * kLanes) {
        A a[kEach], b[kEach];
        read_pack(y + query * out.row + c, a);
        read_pack(dy + query * dout.row + c, b);
#pragma unroll
        for (int j = 0; j < kEach; ++j) sum = std::fma(a[j], b[j], sum);
      }
      sum = warp_sum<kLanes>(sum);
      if (lane == 0 && query < queries) sums[int64_t{head} * queries + query] = sum;
    }
  }
}

template <typename T, typename A>
void row_products(const AttentionArguments<T>& a, const Tensor& out, const Tensor& dout, A* sums) {
  const HeadRows<const T> y(out), dy(dout);
  if (!y.aligned(a.values) || !dy.aligned(a.values)) {
    const int64_t rows = int64_t{a.batch} * a.heads * a.queries;
    return launch(row_products_kernel<T, A>, grid_for(rows * 32), y, dy, rows, a.heads, a.queries, a.values, sums);
  }
  auto with = [&]<int kLanes>() {
    constexpr int kThreads = 256;
    const auto blocks = static_cast<unsigned>(pieces(a.queries, kThreads / kLanes)), all = static_cast<unsigned>(a.batch * a.heads);
    launch(row_products_packed<T, A, kLanes>, Grid{dim3(std::min(blocks, 1024u), std::min(all, 65535u)), dim3(kThreads)}, y, dy,
           a.batch * a.heads, a.heads, a.queries, a.values, sums);
  };
  const int accesses = a.values / kPerAccess<T>;
  if (accesses <= 8) return with.template operator()<8>();
  if (accesses <= 16) return with.template operator()<16>();
  with.template operator()<32>();
}

template <typename T>
bool on_tensor_cores(const AttentionArguments<T>& a) {
  return sizeof(T) == 2 && std::max(a.width, a.values) <= kTensorCoreWidth;
}

}  // namespace

void own_attention(const AttentionPlan& plan, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask, Tensor& out,
                   Tensor& lse) {
  if (lse.numel() == 0) return;
  visit_floating("attention", q.dtype(), [&]<typename T>() {
    const AttentionArguments<T> a(plan, q, k, v, mask);
    if constexpr (sizeof(T) < 8)
      if (a.queries <= kFewQueries && std::max(a.width, a.values) <= kTensorCoreWidth && !a.dropout.on)
        return attention_of_few<T>(a, out, lse);
    if constexpr (sizeof(T) == 2)
      if (on_tensor_cores(a)) return attention_on_tensor_cores<T>(a, out, lse);
    attention_plain<T>(a, out, lse);
  });
}

void own_attention_backward(const AttentionPlan& plan, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask,
                            const Tensor& out, const Tensor& lse, const Tensor& dout, Tensor& dq, Tensor& dk, Tensor& dv) {
  visit_floating("attention_backward", q.dtype(), [&]<typename T>() {
    using A = compute_t<T>;
    const AttentionArguments<T> a(plan, q, k, v, mask);
    const int64_t rows = lse.numel();
    Scratch<A> delta(std::max<int64_t>(1, rows));
    row_products(a, out, dout, delta.data());
    if constexpr (sizeof(T) == 2)
      if (on_tensor_cores(a)) {
        const HeadRows<const T> dy(dout);
        const bool aligned = a.q.aligned(a.width) && a.k.aligned(a.width) && a.v.aligned(a.values) && dy.aligned(a.values);
        const BackwardInputs<T> in{dy, lse.data<float>(), delta.data(), aligned};
        attention_backward_of_keys<T>(a, in, dk, dv);
        attention_backward_of_queries<T>(a, in, dq);
        return;
      }
    attention_backward_plain<T>(a, dout, lse.data<A>(), delta.data(), dq, dk, dv);
  });
}

void register_attention() {
  kernel::attention.set(DeviceType::cuda, own_attention);
  kernel::attention_backward.set(DeviceType::cuda, own_attention_backward);
}

}  // namespace plumb::cuda_backend
