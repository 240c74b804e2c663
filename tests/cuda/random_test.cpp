// Random draws on the device: the CPU's own numbers, bit for bit where they are integers or uniforms.
#include <doctest/doctest.h>

#include <cmath>

#include "ops/kernels/distributions.h"
#include "ops/kernels/dropout.h"
#include "ops/kernels/random.h"
#include "tests/cuda/on_device.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::testing;
using plumb::test::difference;
using plumb::test::sample;

namespace {

constexpr RandomPlace kPlace{42, 1'000'003};

// The same draw on both devices.
struct Both {
  Tensor host, gpu;
};
template <typename Draw>
Both both(const Shape& shape, DType t, Draw&& draw) {
  Tensor host = empty(shape, t), gpu = empty(shape, t, kGpu);
  draw(cpu, host);
  draw(kGpu, gpu);
  return {host, to_cpu(gpu)};
}

}  // namespace

TEST_CASE("draw: uniforms are equal bit for bit, and so are the others in f32 and what is rounded from it") {
  for (DType t : {f64, f32, bf16, f16})
    for (int64_t n : {int64_t{0}, int64_t{1}, int64_t{5}, int64_t{10007}}) {
      INFO(name(t) << " n " << n);
      Both u = both({n}, t, [](Device d, Tensor& out) { kernel::draw(d, Draw::uniform, kPlace, -1.3, 2.7, out); });
      CHECK(same(u.gpu, u.host));
      for (Draw kind : {Draw::normal, Draw::exponential, Draw::gumbel}) {
        Both b = both({n}, t, [=](Device d, Tensor& out) { kernel::draw(d, kind, kPlace, 0.5, 2, out); });
        if (t == f64) CHECK(difference(b.gpu, b.host) < 1e-14);  // the C library's logarithms may differ in the last bit
        else CHECK(same(b.gpu, b.host));
      }
    }
}

TEST_CASE("integers, bernoulli and truncated normals are the CPU's") {
  for (DType t : {i64, i32, u8}) {
    Both b = both({1001}, t, [](Device d, Tensor& out) { kernel::integers(d, kPlace, 3, 200, out); });
    CHECK(same(b.gpu, b.host));
  }
  Both wide = both({333}, i64, [](Device d, Tensor& out) { kernel::integers(d, kPlace, INT64_MIN, UINT64_MAX, out); });
  CHECK(same(wide.gpu, wide.host));
  for (DType t : {f64, f32, bf16, f16, i64, i32, u8, boolean})
    for (double rate : {0.0, 0.3, 1.0}) {
      Both b = both({1003}, t, [=](Device d, Tensor& out) { kernel::bernoulli(d, kPlace, rate, out); });
      CHECK(same(b.gpu, b.host));
    }
  for (double low : {-1.0, 3.0}) {
    Both b = both({500}, f64, [=](Device d, Tensor& out) { kernel::truncated_normal(d, kPlace, 0.1, 1.5, low, 5, out); });
    CHECK(difference(b.gpu, b.host) < 1e-12);
  }
}

TEST_CASE("bernoulli_rates: the CPU's draws; a rate outside [0, 1] is seen") {
  for (DType t : {f64, f32, bf16}) {
    Tensor rate = sample({1001}, 3, t, 0, 1), host = empty({1001}, t), gpu = empty({1001}, t, kGpu);
    bool valid = false, gpu_valid = false;
    kernel::bernoulli_rates(cpu, kPlace, rate, host, valid);
    kernel::bernoulli_rates(kGpu, kPlace, to_gpu(rate), gpu, gpu_valid);
    CHECK(gpu_valid);
    CHECK(same(to_cpu(gpu), host));
    Tensor wrong = to_gpu(sample({9}, 3, t, 0.9, 1.5));
    Tensor out = empty({9}, t, kGpu);
    kernel::bernoulli_rates(kGpu, kPlace, wrong, out, gpu_valid);
    CHECK_FALSE(gpu_valid);
  }
}

TEST_CASE("permutation: the CPU's order") {
  for (int64_t n : {int64_t{0}, int64_t{1}, int64_t{100}, int64_t{5000}}) {
    Both b = both({n}, i64, [](Device d, Tensor& out) { kernel::permutation(d, kPlace, out); });
    CHECK(same(b.gpu, b.host));
  }
}

TEST_CASE("categorical: the CPU's classes, with replacement and without; a row without a distribution is named") {
  for (DType t : {f64, f32, bf16})
    for (bool logits : {false, true})
      for (int64_t classes : {int64_t{5}, int64_t{300}, int64_t{4000}})
        for (bool replacement : {true, false}) {
          Tensor w = sample({4, classes}, 7, t, logits ? -3 : 0, 3), host = empty({4, 4}, i64), gpu = empty({4, 4}, i64, kGpu);
          int64_t bad = 0, gpu_bad = 0;
          kernel::categorical(cpu, kPlace, w, logits, replacement, host, bad);
          kernel::categorical(kGpu, kPlace, to_gpu(w), logits, replacement, gpu, gpu_bad);
          CHECK(bad == -1);
          CHECK(gpu_bad == -1);
          CHECK(same(to_cpu(gpu), host));
        }
  Tensor w = from_vector(std::vector<float>{1, 1, 1, 0, 0, 0, 1, -1, 1, 2, 0, 0}, {4, 3}), out = empty({4, 2}, i64, kGpu);
  int64_t bad = -2;
  kernel::categorical(kGpu, kPlace, to_gpu(w), false, true, out, bad);
  CHECK(bad == 1);
  kernel::categorical(kGpu, kPlace, to_gpu(from_vector(std::vector<float>{1, 2, 3, 0, 2, 0}, {2, 3})), false, false, out, bad);
  CHECK(bad == 1);
}

TEST_CASE("distributions: the CPU's gammas and Poisson counts, and the first bad parameter") {
  Tensor concentration = sample({3000}, 5, f64, 0.05, 9), rate = sample({3000}, 6, f64, 0, 60);
  int64_t bad = 0;
  Both g = both({3000}, f64, [&](Device d, Tensor& out) { kernel::log_gamma_draw(d, kPlace, on(concentration, d), out, bad); });
  CHECK(bad == -1);
  CHECK(difference(g.gpu, g.host) < 1e-10);
  Both p = both({3000}, f64, [&](Device d, Tensor& out) { kernel::poisson_draw(d, kPlace, on(rate, d), out, bad); });
  CHECK(bad == -1);
  CHECK(same(p.gpu, p.host));
  Tensor wrong = from_vector(std::vector<double>{1, 2, -1, NAN}), out = empty({4}, f64, kGpu);
  kernel::poisson_draw(kGpu, kPlace, to_gpu(wrong), out, bad);
  CHECK(bad == 2);
}

TEST_CASE("dropout: the CPU's elements are dropped, one by one or in features") {
  for (DType t : {f64, f32, bf16, f16})
    for (int64_t share : {int64_t{1}, int64_t{7}})
      for (int64_t n : {int64_t{7}, int64_t{7 * 1111}}) {
        Tensor x = sample({n}, 8, t);
        Both b = both({n}, t, [&](Device d, Tensor& out) { kernel::dropout(d, on(x, d), {0.3, 42, 17, share}, {1 / 0.7, 0.25, -1}, out); });
        CHECK(same(b.gpu, b.host));
      }
}
