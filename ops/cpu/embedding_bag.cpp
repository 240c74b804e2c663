// Embedding bags on the CPU. Forward gives each thread whole bags; backward gives it strips of columns of the table and walks the indices
// in order, so that every sum has one order whatever the number of threads. Bytes: the rows read once. Bound: memory.
#include "ops/cpu/rows.h"
#include "ops/kernels/embedding.h"

namespace plumb::cpu_kernels {
namespace {

template <typename S>
void embedding_bag_typed(const Tensor& weight, const Tensor& indices, const Tensor& starts, const Tensor& scale, Tensor& y) {
  using C = compute_t<S>;
  int64_t bags = y.shape()[0], columns = y.shape()[1];
  const S* table = weight.data<S>();
  const int64_t *index = indices.data<int64_t>(), *start = starts.data<int64_t>();
  const C* factor = scale.data<C>();
  S* out = y.data<S>();
  parallel_for(bags, row_grain(columns * std::max<int64_t>(1, indices.numel() / std::max<int64_t>(1, bags))),
               [&](int64_t begin, int64_t end) {
                 std::vector<C> total(static_cast<size_t>(columns));
                 for (int64_t b = begin; b < end; ++b) {
                   std::fill(total.begin(), total.end(), C(0));
                   C* into = total.data();
                   for (int64_t i = start[b]; i < start[b + 1]; ++i) {
                     const S* row = table + index[i] * columns;
                     C f = factor[i];
                     for (int64_t c = 0; c < columns; ++c) into[c] += f * static_cast<C>(row[c]);
                   }
                   for (int64_t c = 0; c < columns; ++c) out[b * columns + c] = static_cast<S>(into[c]);
                 }
               });
}

template <typename S>
void add_to_table(const S* dy, const int64_t* index, const int64_t* start, int64_t bags, const compute_t<S>* factor, int64_t rows,
                  int64_t columns, compute_t<S>* dw) {
  using C = compute_t<S>;
  constexpr int64_t kStrip = 64;
  int64_t work = (start[bags] + rows) * std::min(columns, kStrip);
  parallel_for((columns + kStrip - 1) / kStrip, std::max<int64_t>(1, kPointwiseGrain / std::max<int64_t>(1, work)),
               [&](int64_t begin, int64_t end) {
                 int64_t c0 = begin * kStrip, width = std::min(columns, end * kStrip) - c0;
                 for (int64_t r = 0; r < rows; ++r) std::fill_n(dw + r * columns + c0, width, C(0));
                 for (int64_t b = 0; b < bags; ++b)
                   for (int64_t i = start[b]; i < start[b + 1]; ++i) {
                     const S* from = dy + b * columns + c0;
                     C *into = dw + index[i] * columns + c0, f = factor[i];
                     for (int64_t c = 0; c < width; ++c) into[c] += f * static_cast<C>(from[c]);
                   }
               });
}

template <typename S>
void embedding_bag_backward_typed(const Tensor& gradient, const Tensor& weight, const Tensor& indices, const Tensor& starts,
                                  const Tensor& scale, Tensor& dweight, Tensor& dscale) {
  using C = compute_t<S>;
  int64_t bags = gradient.shape()[0], columns = gradient.shape()[1];
  const S *dy = gradient.data<S>(), *table = weight.data<S>();
  const int64_t *index = indices.data<int64_t>(), *start = starts.data<int64_t>();
  if (dweight.defined()) add_to_table<S>(dy, index, start, bags, scale.data<C>(), weight.shape()[0], columns, dweight.data<C>());
  if (!dscale.defined()) return;
  C* ds = dscale.data<C>();
  parallel_for(bags, row_grain(columns), [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b)
      for (int64_t i = start[b]; i < start[b + 1]; ++i) {
        const S *g = dy + b * columns, *row = table + index[i] * columns;
        ds[i] = lane_sum<C>(columns, [g, row](int64_t c) { return static_cast<C>(g[c]) * static_cast<C>(row[c]); });
      }
  });
}

void embedding_bag(const Tensor& weight, const Tensor& indices, const Tensor& starts, const Tensor& scale, Tensor& y) {
  visit_floating("embedding_bag", weight.dtype(), [&]<typename S>() { embedding_bag_typed<S>(weight, indices, starts, scale, y); });
}
void embedding_bag_backward(const Tensor& dy, const Tensor& weight, const Tensor& indices, const Tensor& starts, const Tensor& scale,
                            Tensor& dweight, Tensor& dscale) {
  visit_floating("embedding_bag", weight.dtype(),
                 [&]<typename S>() { embedding_bag_backward_typed<S>(dy, weight, indices, starts, scale, dweight, dscale); });
}

}  // namespace

void register_embedding_bag() {
  kernel::embedding_bag.set(DeviceType::cpu, embedding_bag);
  kernel::embedding_bag_backward.set(DeviceType::cpu, embedding_bag_backward);
}

}  // namespace plumb::cpu_kernels
