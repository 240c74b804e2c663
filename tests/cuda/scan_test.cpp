// Running sums and recurrences on the device against the CPU's kernels.
#include <doctest/doctest.h>

#include <cmath>

#include "ops/kernels/scan.h"
#include "tests/cuda/on_device.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::testing;
using plumb::test::difference;
using plumb::test::sample;

TEST_CASE("cumulate: sums and products either way agree with the CPU's, within tiles and across them") {
  for (DType t : {f64, f32, bf16, f16, i64})
    for (const Shape& shape : {Shape{3, 7, 1}, Shape{2, 5, 3}, Shape{3, 100, 1}, Shape{2, 5000, 1}, Shape{1, 700, 3}, Shape{2, 1, 4},
                               Shape{0, 3, 1}, Shape{2, 0, 2}, Shape{1, 2048, 1}})
      for (bool product : {false, true})
        for (bool reverse : {false, true}) {
          Tensor x = product && t != i64 ? sample(shape, 7, t, 0.9, 1.1) : some_numbers(shape, t), y = empty(shape, t),
                 gpu_y = empty(shape, t, kGpu);
          kernel::cumulate(cpu, x, product, reverse, y);
          kernel::cumulate(kGpu, to_gpu(x), product, reverse, gpu_y);
          INFO(name(t) << " " << to_string(shape) << (product ? " product" : " sum") << (reverse ? " reversed" : ""));
          CHECK(difference(to_cpu(gpu_y), y) <= (t == f64 ? 1e-12 : t == f32 ? 2e-7 : t == i64 ? 0 : 1e-2));
        }
}

TEST_CASE("linear_scan: NaN and infinite factors, and those of 0, do as on the CPU") {
  Tensor a = from_vector(std::vector<double>{1, NAN, 1, 0, 2, INFINITY, 0, INFINITY, 1}),
         b = from_vector(std::vector<double>{0, 5, 1, 3, 1, 1, INFINITY, 0, 2});
  Tensor h = empty({1, 9, 1}, f64), gpu_h = empty({1, 9, 1}, f64, kGpu);
  a = reshape(a, {1, 9, 1}), b = reshape(b, {1, 9, 1});
  kernel::linear_scan(cpu, a, b, false, h);
  kernel::linear_scan(kGpu, to_gpu(a), to_gpu(b), false, gpu_h);
  std::vector<double> there = to_vector(to_cpu(gpu_h)), here = to_vector(h);
  for (size_t i = 0; i < here.size(); ++i) CHECK((there[i] == here[i] || (std::isnan(there[i]) && std::isnan(here[i]))));
}

TEST_CASE("linear_scan: recurrences agree with the CPU's; an infinite factor of the first step does not count, and growth is not NaN") {
  for (DType t : {f64, f32})
    for (const Shape& shape : {Shape{3, 9, 1}, Shape{3, 90, 1}, Shape{2, 6, 5}, Shape{2, 4500, 1}, Shape{1, 400, 2}})
      for (bool reverse : {false, true}) {
        Tensor a = sample(shape, 1, t, 0.5, 1), b = sample(shape, 2, t), h = empty(shape, t), gpu_h = empty(shape, t, kGpu);
        kernel::linear_scan(cpu, a, b, reverse, h);
        kernel::linear_scan(kGpu, to_gpu(a), to_gpu(b), reverse, gpu_h);
        CHECK(difference(to_cpu(gpu_h), h) <= (t == f64 ? 1e-13 : 2e-7));
      }
  for (int64_t inner : {int64_t{1}, int64_t{2}}) {
    Tensor a = full({1, 3000, inner}, 2.0, f64), b = zeros({1, 3000, inner}, f64), h = empty({1, 3000, inner}, f64, kGpu);
    a.data<double>()[0] = std::numeric_limits<double>::infinity();
    b.data<double>()[3000 * inner - 1] = 1;
    kernel::linear_scan(kGpu, to_gpu(a), to_gpu(b), false, h);
    CHECK(difference(to_cpu(h), b) == 0);
  }
}

TEST_CASE("cumulate: the same bits every time") {
  Tensor x = to_gpu(sample({1, 100000, 1}, 9, f32)), y = empty({1, 100000, 1}, f32, kGpu), z = empty({1, 100000, 1}, f32, kGpu);
  kernel::cumulate(kGpu, x, false, false, y);
  kernel::cumulate(kGpu, x, false, false, z);
  CHECK(same(to_cpu(y), to_cpu(z)));
}
