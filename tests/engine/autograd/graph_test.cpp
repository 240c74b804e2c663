// The life of graphs: depth, cycles, threads.
#include <doctest/doctest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "engine/autograd/backward.h"
#include "engine/core/allocator.h"
#include "ops/activation.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;

namespace {
int64_t live() { return memory_stats(cpu).live; }
}  // namespace

TEST_CASE("graph: a million operations deep, it neither overflows the stack nor leaks, walked or not") {
  int64_t before = live();
  {
    Tensor x = scalar_tensor(1.0, f64).requires_grad_(), y = x;
    for (int i = 0; i < 1000000; ++i) y = neg(y);
    y.backward();
    CHECK(x.grad().item() == 1);
  }
  CHECK(live() == before);
  {
    Tensor x = scalar_tensor(1.0, f64).requires_grad_(), y = x;
    for (int i = 0; i < 300000; ++i) y = y * x;  // dropped with all it saved
  }
  CHECK(live() == before);
  {
    Tensor x = scalar_tensor(1.0, f64).requires_grad_(), y = x;
    for (int i = 0; i < 100000; ++i) y = y * x;
    CHECK(grad({y}, {x}, {.create_graph = true})[0].item() == 100001);
  }
  CHECK(live() == before);
}

TEST_CASE("graph: destroyed on a thread of its own, with a small stack's worth of frames") {
  int64_t before = live();
  Tensor y = scalar_tensor(1.0, f64).requires_grad_();
  for (int i = 0; i < 200000; ++i) y = exp(y * 0.0);
  std::thread([t = std::move(y)]() mutable { t = Tensor(); }).join();
  CHECK(live() == before);
}

TEST_CASE("graph: outputs that are saved make no cycle, nor do views, in-place writes or kept gradients") {
  int64_t before = live();
  {
    Tensor x = ones({100}, f64).requires_grad_();
    Tensor y = tanh(exp(sqrt(x))) * 1.0, part = slice(y, 0, 10, 20);
    mul_(part, part);
    Tensor z = sigmoid(y) / y;
    y.retain_grad();
    Tensor unused = softplus(z);
    sum(z * unused).backward();
  }
  CHECK(live() == before);
  {
    Tensor x = ones({100}, f64).requires_grad_();
    Tensor g = grad({sum(exp(x) / x)}, {x}, {.create_graph = true})[0];
    Tensor gg = grad({sum(g * g)}, {x}, {.create_graph = true})[0];
  }
  CHECK(live() == before);
}

TEST_CASE("graph: several threads record and walk graphs over shared parameters") {
  Tensor w = tensor({1.0, 2.0, 3.0}, f64).requires_grad_(), shared = exp(w);
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      Tensor scale = full({3}, t + 1, f64);
      for (int i = 0; i < 200; ++i) {
        Tensor y = sum(w * w * scale);
        auto g = to_vector(grad({y}, {w})[0]);
        wrong += g != std::vector<double>{2.0 * (t + 1), 4.0 * (t + 1), 6.0 * (t + 1)};
        Tensor z = sum(shared * scale);  // a graph made elsewhere, walked by all at once
        wrong += !grad({z}, {w}, {.retain_graph = true})[0].defined();
      }
    });
  for (auto& t : threads) t.join();
  CHECK(wrong == 0);
}
