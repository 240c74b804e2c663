// Grouped matrix products on the CPU, on the blocked product in gemm/, which gives an element the same bits wherever its row stands:
// so the rows may be cut where it suits the threads, whatever the sizes of the segments.
#include <algorithm>

#include "engine/core/parallel.h"
#include "ops/cpu/gemm/blocking.h"
#include "ops/cpu/gemm/gemm.h"
#include "ops/kernels/grouped_matmul.h"
#include "ops/kernels/reduce.h"

namespace plumb::cpu_kernels {
namespace {

// Equal shares of n items, two for each thread, but none with fewer than gemm::kWorthThread multiply-adds; `each` an item.
int64_t share(int64_t n, int64_t each) {
  int64_t least = gemm::ceil_div(gemm::kWorthThread, std::max<int64_t>(1, each)), shares = 2 * static_cast<int64_t>(num_threads());
  return std::max(least, gemm::ceil_div(n, shares));
}

// The segment that holds the first row at or after `row`, among those that are not empty.
int64_t segment_of(const int64_t* offsets, int64_t segments, int64_t row) {
  return std::upper_bound(offsets, offsets + segments + 1, row) - offsets - 1;
}

void grouped_matmul(const Tensor& a, const Tensor& b, const Tensor& bias, const Tensor& offsets, Tensor& out) {
  const Strides &sa = a.strides(), &sb = b.strides();
  int64_t rows = a.shape()[0], k = a.shape()[1], n = out.shape()[1], segments = b.shape()[0];
  if (out.numel() == 0) return;
  const int64_t* o = offsets.data<int64_t>();
  visit_floating("grouped_matmul", a.dtype(), [&]<typename T>() {
    auto multiply = [&](int64_t e, int64_t begin, int64_t end) {
      gemm::Epilogue<T> epilogue;
      if (bias.defined()) epilogue.bias = bias.data<T>() + e * n;
      gemm::multiply<T>(end - begin, n, k, {a.data<T>() + begin * sa[0], sa[0], sa[1]}, {b.data<T>() + e * sb[0], sb[1], sb[2]},
                        out.data<T>() + begin * n, n, false, epilogue);
    };
    parallel_for(rows, share(rows, k * n), [&](int64_t begin, int64_t end) {
      for (int64_t e = segment_of(o, segments, begin); begin < end; ++e) {
        int64_t stop = std::min(end, o[e + 1]);
        if (stop > begin) multiply(e, begin, stop);
        begin = stop;
      }
    });
  });
}

// An output row of segment e costs as much as the segment has rows. Laid end to end by cost, all output rows take up rows · m places,
// segment e those from o[e] · m; a thread that is given a range of places computes the output rows that begin there.
void grouped_outer(const Tensor& a, const Tensor& b, const Tensor& offsets, Tensor& out) {
  const Strides &sa = a.strides(), &sb = b.strides();
  int64_t rows = a.shape()[0], m = a.shape()[1], n = b.shape()[1], segments = out.shape()[0];
  if (out.numel() == 0) return;
  const int64_t* o = offsets.data<int64_t>();
  visit_floating("grouped_outer", a.dtype(), [&]<typename T>() {
    for (int64_t e = 0; e < segments; ++e)
      if (o[e] == o[e + 1]) std::fill_n(out.data<T>() + e * m * n, m * n, T(0.0f));
    parallel_for(rows * m, share(rows * m, n), [&](int64_t begin, int64_t end) {
      for (int64_t e = segment_of(o, segments, begin / m); e < segments && o[e] * m < end; ++e) {
        int64_t size = o[e + 1] - o[e];
        if (size == 0) continue;
        int64_t i = gemm::ceil_div(std::max<int64_t>(0, begin - o[e] * m), size), i_end = std::min(m, gemm::ceil_div(end - o[e] * m, size));
        if (i < i_end)
          gemm::multiply<T>(i_end - i, n, size, {a.data<T>() + o[e] * sa[0] + i * sa[1], sa[1], sa[0]},
                            {b.data<T>() + o[e] * sb[0], sb[0], sb[1]}, out.data<T>() + (e * m + i) * n, n);
      }
    });
  });
}

// The sum over rows of one segment after the other, which all threads share however uneven segments are.
void grouped_sum(const Tensor& x, const Tensor& offsets, Tensor& out) {
  const int64_t n = out.shape()[1], *o = offsets.data<int64_t>();
  for (int64_t e = 0; e < out.shape()[0]; ++e) {
    const int64_t rows = o[e + 1] - o[e];
    Tensor sum = view_of(out, {n}, {1}, e * n);
    kernel::reduce(cpu, ReduceOp::sum, view_of(x, {rows, n}, {n, 1}, o[e] * n), {n}, {1}, {rows}, {n}, sum);
  }
}

}  // namespace

void register_grouped_matmul() {
  kernel::grouped_sum.set(DeviceType::cpu, grouped_sum);
  kernel::grouped_matmul.set(DeviceType::cpu, grouped_matmul);
  kernel::grouped_outer.set(DeviceType::cpu, grouped_outer);
}

}  // namespace plumb::cpu_kernels
