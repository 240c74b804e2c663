// Element by element: sums, choices, activations and their derivatives, dropout, random draws.
#include <cmath>

#include "bench/gpu.h"
#include "bench/onednn.h"
#include "bench/suite.h"
#include "engine/core/parallel.h"
#include "ops/activation.h"
#include "ops/dropout.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"

using namespace plumb;
using namespace plumb::bench;

namespace {

template <typename F>
std::function<void()> plain_map(int64_t count, F f) {
  Tensor x = normal({count}), y = normal({count});
  return [=] {
    const float* in = x.data<float>();
    float* out = written(y);
    parallel_for(count, 4096, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) out[i] = f(in[i]);
    });
  };
}

// Forward reads x and writes y; backward reads x and dy and writes dx.
void activation_rows(const std::string& name, int64_t n, DType type, Tensor (*f)(const Tensor&), double flops) {
  double numbers = static_cast<double>(n), bytes = numbers * static_cast<double>(item_size(type));
  row(name, dims({n}), type, "plumb", {2 * bytes, flops * numbers}, [=] {
    Tensor x = normal({n}, type);
    return [=] { f(x); };
  });
  row(name + "_backward", dims({n}), type, "plumb", {3 * bytes, 2 * flops * numbers}, [=] {
    Tensor x = normal({n}, type).requires_grad_();
    return backward_call(f(x), normal({n}, type), {x});
  });
}

void sum_and_choice_rows(int64_t n, DType type) {
  double numbers = static_cast<double>(n), bytes = numbers * static_cast<double>(item_size(type));
  row("add", dims({n}), type, "plumb", {3 * bytes, numbers}, [=] {
    Tensor x = normal({n}, type), y = normal({n}, type);
    return [=] { x + y; };
  });
  row("add_row", dims({n / 1024, 1024}), type, "plumb", {2 * bytes, numbers}, [=] {
    Tensor x = normal({n / 1024, 1024}, type), y = normal({1024}, type);
    return [=] { x + y; };
  });
  // Reads a byte and two numbers, writes one of these; backward reads a byte and a gradient for each of the two that it writes.
  row("where", dims({n}), type, "plumb", {numbers + 3 * bytes, 0}, [=] {
    Tensor x = normal({n}, type), y = -x, condition = x > 0;
    return [=] { where(condition, x, y); };
  });
  row("where_backward", dims({n}), type, "plumb", {2 * numbers + 4 * bytes, 0}, [=] {
    Tensor x = normal({n}, type), y = (-x).requires_grad_(), condition = x > 0;
    x.requires_grad_();
    return backward_call(where(condition, x, y), normal({n}, type), {x, y});
  });
  row("dropout", dims({n}), type, "plumb", {2 * bytes, numbers}, [=] {
    Tensor x = normal({n}, type);
    return [=] { dropout(x, 0.1); };
  });
}

void draw_rows(int64_t n) {
  double bytes = 4 * static_cast<double>(n);
  for (auto [name, draw] :
       {std::pair<const char*, Tensor (*)(const Shape&)>{"rand", [](const Shape& s) { return rand(s, {.device = device()}); }},
        {"randn", [](const Shape& s) { return randn(s, {.device = device()}); }},
        {"bernoulli", [](const Shape& s) { return bernoulli(s, 0.1, {.device = device()}); }}})
    row(name, dims({n}), f32, "plumb", {bytes, 0}, [n, draw = draw] { return [=] { draw({n}); }; });
  if (on_cpu()) row("randperm", dims({n}), i64, "plumb", {2 * bytes, 0}, [n] { return [n] { randperm(n); }; });
}

const bool registered = suite([] {
  int64_t n = sized(1 << 26, 3 << 20);  // of a small GPT: 2048 tokens of the feed-forward network's 1536
  for (DType type : types()) {
    double numbers = static_cast<double>(n), bytes = numbers * static_cast<double>(item_size(type));
    gpu_row("add", dims({n}), type, "plain", {3 * bytes, numbers}, [=] { return gpu::plain::add(n, type); });
    gpu_row("gelu", dims({n}), type, "plain", {2 * bytes, 8 * numbers}, [=] { return gpu::plain::gelu(n, type); });
    gpu_row("silu", dims({n}), type, "plain", {2 * bytes, 4 * numbers}, [=] { return gpu::plain::silu(n, type); });
    sum_and_choice_rows(n, type);
    activation_rows("gelu", n, type, [](const Tensor& x) { return gelu(x); }, 8);
    activation_rows("silu", n, type, [](const Tensor& x) { return silu(x); }, 4);
  }
  draw_rows(sized(1 << 26, 1 << 20));
  Work work{8 * static_cast<double>(n), 8 * static_cast<double>(n)};
  row("gelu", dims({n}), f32, "plain", work,
      [n] { return plain_map(n, [](float x) { return 0.5f * x * (1 + std::erf(x * 0.70710678f)); }); });
  row("silu", dims({n}), f32, "plain", {work.bytes, work.flops / 2},
      [n] { return plain_map(n, [](float x) { return x / (1 + std::exp(-x)); }); });
  row("add", dims({n}), f32, "plain", work, [n] { return plain_map(n, [](float x) { return x + x; }); });
  if (onednn::available)
    row("gelu", dims({n}), f32, "onednn", work, [n] {
      Tensor x = normal({n}), y = normal({n});
      return [x, y, call = onednn::gelu(n, x.data<float>(), written(y))] { call(); };
    });
});

}  // namespace
