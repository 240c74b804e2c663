// One process that uses two GPUs: tensors go from one to the other, and each works on its own streams. First in its process: what devices
// there are is asked once.
#include <doctest/doctest.h>

#include <cstdlib>

#include "engine/core/device_runtime.h"
#include "engine/core/error.h"
#include "models/optim/adam.h"
#include "ops/elementary.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/cuda/on_device.h"
#include "tests/cuda/simulated/device.h"

using namespace plumb;
using namespace plumb::testing;

namespace {

constexpr Device kSecond{DeviceType::cuda, 1};

// Whether there are two; says why not.
bool two_gpus() {
  if (!std::getenv("PLUMB_TEST_GPU") && !detail::device_runtime_if_used()) simulated::set_device_count(2);
  if (device_count(DeviceType::cuda) >= 2) return true;
  MESSAGE("skipped: this needs two GPUs, and a process of its own where they are simulated");
  return false;
}

// Three steps of AdamW towards zero.
Tensor trained(const Tensor& start) {
  Tensor p = clone(start).requires_grad_();
  optim::AdamW adamw({p}, {.lr = 0.1});
  for (int i = 0; i < 3; ++i) {
    adamw.zero_grad();
    sum(square(p)).backward();
    adamw.step();
  }
  return p.detach();
}

}  // namespace

TEST_CASE("two GPUs: a tensor goes from one to the other and back as it is, and a later change of the source does not reach the copy") {
  if (!two_gpus()) return;
  for (DType t : {f64, f32, bf16, i64, u8, boolean}) {
    Tensor x = some_numbers({33, 65}, t), on_first = to_gpu(x);
    Tensor on_second = on(on_first, kSecond);
    CHECK(on_second.device() == kSecond);
    CHECK(same(to_cpu(on_second), x));
    CHECK(same(to_cpu(on(transpose(on_second, 0, 1), kGpu)), transpose(x, 0, 1)));
  }
  Tensor source = full({1000}, 2, f32, kGpu), copy = on(source * 3, kSecond);
  fill_(source, 9);
  CHECK(same(to_cpu(copy), full({1000}, 6, f32)));
}

TEST_CASE("two GPUs: each computes what the CPU does, by turns from one thread") {
  if (!two_gpus()) return;
  Tensor a = some_numbers({7, 5}, f32), b = some_numbers({5, 9}, f32, 2);
  for (int round = 0; round < 3; ++round)
    for (Device gpu : {kGpu, kSecond}) {
      Tensor product = matmul(on(a, gpu), on(b, gpu));
      CHECK(product.device() == gpu);
      CHECK(same(to_cpu(product), matmul(a, b)));  // sums of small multiples of 1/256: exact in any order
    }
}

TEST_CASE("two GPUs: an optimiser on each, by turns: their tables of parameters do not get in each other's way") {
  if (!two_gpus()) return;
  Tensor start = some_numbers({100}, f32), expected = trained(start);
  for (int round = 0; round < 3; ++round)
    for (Device gpu : {kGpu, kSecond}) {
      Tensor p = to_cpu(trained(on(start, gpu)));
      CHECK(to_vector(amax(abs(p - expected)))[0] < 1e-5);  // three updates of 0.1, each rounded a few times
    }
}

TEST_CASE("two GPUs: tensors of both in one operation are refused") {
  if (!two_gpus()) return;
  CHECK_THROWS_AS(ones({2}, f32, kGpu) + ones({2}, f32, kSecond), DeviceError);
}
