// Dropout on the CPU. Bytes: read x, write y. Bound: Philox, 4 draws a counter.
#include "ops/kernels/dropout.h"

#include "engine/core/generator.h"
#include "engine/core/parallel.h"
#include "ops/cpu/register.h"
#include "ops/dropout_mask.h"

namespace plumb::cpu_kernels {
namespace {

void dropout(const Tensor& x, double p, uint64_t seed, uint64_t counter, Tensor& y) {
  uint32_t threshold = dropout_threshold(p);
  int64_t n = x.numel();
  visit_floating("dropout", x.dtype(), [&]<typename T>() {
    using C = compute_t<T>;
    C scale = static_cast<C>(1 / (1 - p));
    const T* from = x.data<T>();
    T* to = y.data<T>();
    parallel_for((n + 3) / 4, 2048, [&](int64_t begin, int64_t end) {
      for (int64_t block = begin; block < end; ++block) {
        auto words = philox(seed, counter + static_cast<uint64_t>(block));
        for (int64_t i = 4 * block; i < std::min(n, 4 * block + 4); ++i)
          to[i] = static_cast<T>(words[static_cast<size_t>(i - 4 * block)] >= threshold ? static_cast<C>(from[i]) * scale : C(0));
      }
    });
  });
}

}  // namespace

void register_dropout() { kernel::dropout.set(DeviceType::cpu, dropout); }

}  // namespace plumb::cpu_kernels
