// Dropout on the CPU. Bytes: read x, write y. Bound: Philox, of which 32 counters make the words of 128 elements at once.
#include "ops/kernels/dropout.h"

#include "engine/core/parallel.h"
#include "ops/cpu/philox_block.h"
#include "ops/dropout_mask.h"

namespace plumb::cpu_kernels {
namespace {

// A draw for each element.
template <typename T, typename C>
void each_element(const T* x, int64_t n, const DropoutDraw& draw, C scale, C shift, C dropped, T* y) {
  uint32_t threshold = dropout_threshold(draw.p);
  parallel_for((n + kWords - 1) / kWords, 32, [&](int64_t begin, int64_t end) {
    WordBlock block;
    for (int64_t b = begin; b < end; ++b) {
      philox_block(draw.seed, draw.counter + static_cast<uint64_t>(b * (kWords / 4)), block);
      const T* from = x + b * kWords;
      T* to = y + b * kWords;
      int64_t count = std::min(kWords, n - b * kWords);
      for (int64_t i = 0; i < count; ++i) {
        C kept = static_cast<C>(from[i]) * scale + shift;
        to[i] = static_cast<T>(block.words[i] >= threshold ? kept : dropped);
      }
    }
  });
}

// A draw for `share` neighbours.
template <typename T, typename C>
void each_feature(const T* x, int64_t n, const DropoutDraw& draw, C scale, C shift, C dropped, T* y) {
  uint32_t threshold = dropout_threshold(draw.p);
  parallel_for(n / draw.share, std::max<int64_t>(1, 8192 / draw.share), [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      bool kept = philox(draw.seed, draw.counter + static_cast<uint64_t>(k / 4))[static_cast<size_t>(k % 4)] >= threshold;
      for (int64_t i = k * draw.share; i < (k + 1) * draw.share; ++i)
        y[i] = static_cast<T>(kept ? static_cast<C>(x[i]) * scale + shift : dropped);
    }
  });
}

void dropout(const Tensor& x, DropoutDraw draw, DropoutValues values, Tensor& y) {
  if (x.numel() == 0) return;
  visit_floating("dropout", x.dtype(), [&]<typename T>() {
    using C = compute_t<T>;
    auto run = draw.share == 1 ? each_element<T, C> : each_feature<T, C>;
    run(x.data<T>(), x.numel(), draw, static_cast<C>(values.scale), static_cast<C>(values.shift), static_cast<C>(values.dropped),
        y.data<T>());
  });
}

}  // namespace

void register_dropout() { kernel::dropout.set(DeviceType::cpu, dropout); }

}  // namespace plumb::cpu_kernels
