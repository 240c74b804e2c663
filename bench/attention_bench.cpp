// Causal attention, forward and backward, beside loops over queries and keys. A shape is batch x heads x length x width of a head. Half of
// the scores are masked, and only the others count: 2 b h t² d operations forward, 5 b h t² d backward. On a GPU attention of 16-bit types
// is a library's where it can; the side "own" is own kernels in its place.
#include <algorithm>
#include <cmath>

#include "bench/gpu.h"
#include "bench/suite.h"
#include "engine/core/parallel.h"
#include "ops/attention.h"
#include "ops/kernels/attention_choice.h"

using namespace plumb;
using namespace plumb::bench;

namespace {

// Row by row: scores, their softmax, and the mean of the values under it.
std::function<void()> plain(const Shape& shape) {
  Tensor q = normal(shape), k = normal(shape), v = normal(shape), y = normal(shape);
  return [=] {
    const int64_t length = q.size(2), width = q.size(3);
    const float *qs = q.data<float>(), *ks = k.data<float>(), *vs = v.data<float>();
    float* ys = written(y);
    parallel_for(q.size(0) * q.size(1), 1, [&](int64_t begin, int64_t end) {
      std::vector<float> weights(static_cast<size_t>(length));
      for (int64_t head = begin; head < end; ++head)
        for (int64_t i = 0; i < length; ++i) {
          const float* query = qs + (head * length + i) * width;
          float most = -INFINITY, total = 0;
          for (int64_t j = 0; j <= i; ++j) {
            float score = 0;
            for (int64_t d = 0; d < width; ++d) score += query[d] * ks[(head * length + j) * width + d];
            weights[static_cast<size_t>(j)] = score / std::sqrt(static_cast<float>(width));
            most = std::max(most, weights[static_cast<size_t>(j)]);
          }
          for (int64_t j = 0; j <= i; ++j) total += weights[static_cast<size_t>(j)] = std::exp(weights[static_cast<size_t>(j)] - most);
          float* out = ys + (head * length + i) * width;
          std::fill_n(out, width, 0.0f);
          for (int64_t j = 0; j <= i; ++j)
            for (int64_t d = 0; d < width; ++d) out[d] += weights[static_cast<size_t>(j)] / total * vs[(head * length + j) * width + d];
        }
    });
  };
}

// `call` with own kernels.
std::function<void()> by_own_kernels(const std::function<void()>& call) {
  return [call] {
    choose_attention(AttentionChoice::own_kernels);
    call();
    choose_attention(AttentionChoice::automatic);
  };
}

void rows(const Shape& s, DType type) {
  std::string name = dims({s[0], s[1], s[2], s[3]});
  double products = static_cast<double>(s[0] * s[1] * s[2]) * static_cast<double>(s[2] * s[3]),
         bytes = static_cast<double>(numel(s)) * static_cast<double>(item_size(type));
  const std::function<std::function<void()>()> forward = [=] {
    Tensor q = normal(s, type), k = normal(s, type), v = normal(s, type);
    return [=] { scaled_dot_product_attention(q, k, v, {.causal = true}); };
  };
  const std::function<std::function<void()>()> backward = [=] {
    Tensor q = normal(s, type).requires_grad_(), k = normal(s, type).requires_grad_(), v = normal(s, type).requires_grad_();
    return backward_call(scaled_dot_product_attention(q, k, v, {.causal = true}), normal(s, type), {q, k, v});
  };
  row("attention", name, type, "plumb", {4 * bytes, 2 * products}, forward);
  row("attention_backward", name, type, "plumb", {8 * bytes, 5 * products}, backward);
  gpu_row("attention", name, type, "plain", {4 * bytes, 2 * products},
          [=] { return gpu::plain::attention(s[0] * s[1], s[2], s[3], type); });
  if (item_size(type) == 2) {
    gpu_row("attention", name, type, "own", {4 * bytes, 2 * products}, [forward] { return by_own_kernels(forward()); });
    gpu_row("attention_backward", name, type, "own", {8 * bytes, 5 * products}, [backward] { return by_own_kernels(backward()); });
  }
  if (type == f32) row("attention", name, f32, "plain", {4 * bytes, 2 * products}, [s] { return plain(s); });
}

const bool registered = suite([] {
  for (DType type : types())
    for (const Shape& s :
         on_cpu() ? std::vector<Shape>{{8, 6, 256, 64}, {2, 4, 1024, 64}} : std::vector<Shape>{{16, 12, 1024, 64}, {16, 12, 1024, 128}})
      rows(s, type);
});

}  // namespace
