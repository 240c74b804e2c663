// The slots of attention: which kernels compute it, and the row products that the backward pass begins with.
#include <cmath>

#include "cuda/kernels/attention_backward.h"
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
    launch(row_products_kernel<T, A>, grid_for(rows * 32), HeadRows<const T>(out), HeadRows<const T>(dout), rows, a.heads, a.queries,
           a.values, delta.data());
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
