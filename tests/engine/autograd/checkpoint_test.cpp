// Recompute checkpointing: the same values and gradients for less memory.
#include "engine/autograd/checkpoint.h"

#include <doctest/doctest.h>

#include "engine/autograd/autocast.h"
#include "engine/autograd/backward.h"
#include "engine/autograd/grad_mode.h"
#include "engine/core/allocator.h"
#include "ops/elementary.h"
#include "ops/gradcheck.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;

namespace {

using Values = std::vector<double>;
const Tensor kX = tensor({0.5, -1.0, 2.0}, f64), kW = tensor({1.5, 0.3, -0.7}, f64);

Tensor block(const Tensor& x, const Tensor& w) { return tanh(exp(x * w) * sin(x)) * w; }

}  // namespace

TEST_CASE("checkpoint: the values and gradients of the function itself, bit for bit") {
  Tensor x = kX.detach().requires_grad_(), w = kW.detach().requires_grad_();
  Tensor plain = block(x, w), checked = checkpoint([&] { return block(x, w); });
  CHECK(to_vector(checked) == to_vector(plain));
  auto a = grad({sum(plain)}, {x, w}), b = grad({sum(checked)}, {x, w});
  CHECK(to_vector(a[0]) == to_vector(b[0]));
  CHECK(to_vector(a[1]) == to_vector(b[1]));
}

TEST_CASE("checkpoint: first and second derivatives, several outputs, nested") {
  TensorFunction several = [](const Tensor& x, const Tensor& w) {
    return checkpoint(std::function<std::vector<Tensor>()>([=] { return std::vector<Tensor>{block(x, w), x * x * w}; }));
  };
  TensorFunction nested = [](const Tensor& x, const Tensor& w) {
    return checkpoint([=] {
      Tensor h = exp(x * w);
      Tensor inner = checkpoint([=] { return block(h, w) * h; });
      return inner * inner + h * x;
    });
  };
  for (const TensorFunction& f : {several, nested}) {
    auto first = gradcheck(f, {kX, clone(kW)}), second = gradgradcheck(f, {kX, clone(kW)});
    CHECK_MESSAGE(first.passed, first.message);
    CHECK_MESSAGE(second.passed, second.message);
  }
}

TEST_CASE("checkpoint: runs the function once forward and once more for the first gradient") {
  int runs = 0;
  Tensor x = kX.detach().requires_grad_();
  Tensor y = sum(checkpoint([&] {
    ++runs;
    return exp(x) * x;
  }));
  CHECK(runs == 1);
  y.backward({}, true);
  CHECK(runs == 2);
  y.backward();
  CHECK(runs == 2);
}

TEST_CASE("checkpoint: draws the same random numbers again, and leaves the generator where it was") {
  manual_seed(9);
  Tensor x = kX.detach().requires_grad_();
  Tensor noise;
  Tensor y = checkpoint([&] {
    noise = randn({3}, {.dtype = f64});
    return x * noise * x;
  });
  Tensor first = noise;
  Generator after = default_generator();
  default_generator().take(17);
  uint64_t offset = default_generator().offset();
  sum(y).backward();
  CHECK_FALSE(noise.same_as(first));
  CHECK(to_vector(noise) == to_vector(first));
  CHECK(default_generator().offset() == offset);
  CHECK(to_vector(x.grad()) == to_vector(kX * first * 2.0));
  CHECK(after.offset() < offset);
}

TEST_CASE("checkpoint: runs again under the autocast of the first run") {
  Tensor a = ones({2, 2}).requires_grad_(), seen;
  Tensor y;
  {
    Autocast cast(bf16);
    y = checkpoint([&] {
      seen = matmul(a, a);
      return seen * seen;
    });
  }
  CHECK(seen.dtype() == bf16);
  seen = Tensor();
  sum(y).backward();
  CHECK(seen.dtype() == bf16);
  CHECK(Autocast::type() == f32);
}

TEST_CASE("checkpoint: keeps less memory between forward and backward") {
  auto held = [](bool checked) {
    Tensor x = ones({1 << 16}, f64).requires_grad_(), y = x;
    int64_t before = memory_stats(cpu).live;
    for (int layer = 0; layer < 4; ++layer) {
      auto f = [y] {
        Tensor h = y;
        for (int i = 0; i < 8; ++i) h = tanh(exp(h * 0.1));
        return h;
      };
      y = checked ? checkpoint(f) : f();
    }
    int64_t after = memory_stats(cpu).live;
    sum(y).backward();
    CHECK(x.grad().defined());
    return after - before;
  };
  int64_t plain = held(false), checked = held(true), tensor_bytes = (1 << 16) * 8;
  CHECK(plain >= 4 * 8 * 2 * tensor_bytes);
  CHECK(checked <= 5 * tensor_bytes);
}

TEST_CASE("checkpoint: everything is freed after backward, also without one") {
  int64_t before = memory_stats(cpu).live;
  for (bool walked : {true, false}) {
    Tensor x = ones({1000}, f64).requires_grad_();
    Tensor y = checkpoint([x] { return checkpoint([x] { return exp(x) * x; }) * exp(x); });
    if (walked) sum(y).backward();
  }
  CHECK(memory_stats(cpu).live == before);
}

TEST_CASE("checkpoint: a function that computes something else when run again is an error; one that throws can be tried again") {
  Tensor x = kX.detach().requires_grad_();
  int runs = 0;
  Tensor y = checkpoint([&] { return ++runs == 1 ? exp(x) : exp(exp(x)); });
  CHECK_THROWS_WITH_AS(sum(y).backward(),
                       "checkpoint: the function saved 1 tensors the first time and 2 when run again; it must compute the same both times",
                       AutogradError);
  bool fail = false;
  Tensor z = sum(checkpoint([&] {
    Tensor h = exp(x);
    if (fail) throw ValueError("not now");
    return h * h;
  }));
  fail = true;
  CHECK_THROWS_WITH_AS(z.backward({}, true), "not now", ValueError);
  fail = false;
  z.backward();
  CHECK(x.grad().defined());
}

TEST_CASE("checkpoint: under NoGrad it is just the function") {
  NoGrad off;
  Tensor x = kX.detach().requires_grad_();
  CHECK_FALSE(checkpoint([&] { return exp(x); }).requires_grad());
}
