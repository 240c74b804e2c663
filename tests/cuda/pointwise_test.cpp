// Element-wise kernels on the device: what the table of operations does not show. Packs of 16 bytes and what is left over, broadcast and
// misaligned operands, integers, comparisons, complex numbers.
#include <doctest/doctest.h>

#include <cmath>

#include "ops/complex.h"
#include "ops/create.h"
#include "ops/elementary.h"
#include "ops/join.h"
#include "ops/kernels/pointwise.h"
#include "ops/pointwise.h"
#include "ops/shape.h"
#include "tests/cuda/on_device.h"

using namespace plumb;
using namespace plumb::testing;

TEST_CASE("pointwise: every length and every start gives the CPU's bits") {
  for (DType t : {f64, f32, bf16, f16, i64, i32, u8})
    for (int64_t n : {1, 7, 8, 16, 100, 4097, 70000}) {
      Tensor x = some_numbers({n + 3}, t, 1), y = some_numbers({n + 3}, t, 2), gx = to_gpu(x), gy = to_gpu(y);
      for (int64_t start : {0, 1, 3}) {
        auto part = [&](const Tensor& v) { return slice(v, 0, start, start + n); };
        CHECK_MESSAGE(same(to_cpu(part(gx) + part(gy)), part(x) + part(y)), name(t) << " " << n << " from " << start);
        CHECK_MESSAGE(same(to_cpu(maximum(part(gx), slice(gy, 0, 0, n))), maximum(part(x), slice(y, 0, 0, n))),
                      name(t) << " " << n << " from " << start);
      }
    }
}

TEST_CASE("pointwise: sums and products of f32 and a 16-bit type are f32, with the CPU's bits, for every start and broadcast") {
  for (DType t : {bf16, f16})
    for (int64_t n : {1, 8, 100, 4097})
      for (int64_t start : {0, 1, 3}) {
        auto part = [&](const Tensor& v) { return slice(v, 0, start, start + n); };
        Tensor x = some_numbers({n + 3}, f32, 1), y = some_numbers({n + 3}, t, 2), gx = to_gpu(x), gy = to_gpu(y);
        INFO(name(t) << " " << n << " from " << start);
        CHECK(same(to_cpu(part(gx) + part(gy)), part(x) + to(part(y), f32)));
        CHECK(same(to_cpu(part(gy) - slice(gx, 0, 0, n)), to(part(y), f32) - slice(x, 0, 0, n)));
        CHECK(same(to_cpu(part(gy) * slice(gx, 0, 0, 1)), to(part(y), f32) * slice(x, 0, 0, 1)));
      }
  Tensor x = some_numbers({5, 16}, f32, 1), y = some_numbers({16, 5}, bf16, 2), row = some_numbers({16}, bf16, 3);
  CHECK(same(to_cpu(to_gpu(x) + mT(to_gpu(y))), x + to(mT(y), f32)));
  CHECK(same(to_cpu(to_gpu(row) * to_gpu(x)), to(row, f32) * x));
  CHECK(same(to_cpu(to_gpu(zeros({0, 3})) + to_gpu(zeros({0, 3}, bf16))), zeros({0, 3})));
}

TEST_CASE("pointwise: rows, columns and single numbers are broadcast; strides may be of any order") {
  Tensor x = some_numbers({6, 16, 32}, f32, 1), gx = to_gpu(x);
  for (const Shape& shape : {Shape{32}, Shape{16, 1}, Shape{6, 1, 1}, Shape{1, 1, 1}, Shape{}, Shape{6, 1, 32}}) {
    Tensor y = some_numbers(shape, f32, 2), gy = to_gpu(y);
    CHECK_MESSAGE(same(to_cpu(gx * gy), x * y), to_string(shape));
    CHECK_MESSAGE(same(to_cpu(gy - gx), y - x), to_string(shape));
  }
  for (const std::vector<int>& order : {std::vector<int>{2, 0, 1}, {1, 0, 2}, {0, 2, 1}}) {
    Tensor gp = permute(gx, order), p = permute(x, order);
    CHECK(same(to_cpu(gp * gp + 1.0), p * p + 1.0));
    CHECK(same(to_cpu(clone(gp)), clone(p)));
  }
  CHECK(same(to_cpu(expand(slice(gx, 2, 0, 1), {6, 16, 32}) * gx), expand(slice(x, 2, 0, 1), {6, 16, 32}) * x));
}

TEST_CASE("pointwise: comparisons, selection and tests for every type") {
  for (DType t : {f64, f32, bf16, f16, i64, i32, u8, boolean}) {
    Tensor a = some_numbers({5, 33}, t, 1), b = some_numbers({5, 33}, t, 2), ga = to_gpu(a), gb = to_gpu(b);
    CHECK(same(to_cpu(ga == gb), a == b));
    CHECK(same(to_cpu(ga < gb), a < b));
    CHECK(same(to_cpu(ga <= gb), a <= b));
    CHECK(same(to_cpu(ga > gb), a > b));
    CHECK(same(to_cpu(ga >= gb), a >= b));
    CHECK(same(to_cpu(ga != gb), a != b));
    CHECK(same(to_cpu(where(ga < gb, ga, gb)), where(a < b, a, b)));
  }
  Tensor x = tensor({1.0, INFINITY, -INFINITY, NAN, 0.0}), gx = to_gpu(x);
  CHECK(same(to_cpu(isnan(gx)), isnan(x)));
  CHECK(same(to_cpu(isfinite(gx)), isfinite(x)));
  bool found = false;
  kernel::has_nan(kGpu, gx, found);
  CHECK(found);
  kernel::has_nan(kGpu, slice(gx, 0, 0, 3), found);
  CHECK_FALSE(found);
}

TEST_CASE("pointwise: integers divide and take remainders as on the CPU, also by zero and minus one") {
  for (DType t : {i64, i32}) {
    Tensor a = to(tensor({7, -7, 7, -7, 5, INT32_MIN}), t), b = to(tensor({2, 2, -2, -2, 0, -1}), t);
    CHECK(same(to_cpu(floor_divide(to_gpu(a), to_gpu(b))), floor_divide(a, b)));
    CHECK(same(to_cpu(remainder(to_gpu(a), to_gpu(b))), remainder(a, b)));
  }
}

TEST_CASE("pointwise: functions that float computes by polynomials have the CPU's bits") {
  Tensor x = some_numbers({257}, f32), gx = to_gpu(x);
  CHECK(same(to_cpu(exp(gx)), exp(x)));
  CHECK(same(to_cpu(tanh(gx)), tanh(x)));
  CHECK(same(to_cpu(sigmoid(gx)), sigmoid(x)));
  CHECK(same(to_cpu(erf(gx)), erf(x)));
}

TEST_CASE("create: sequences of every type") {
  for (DType t : {f64, f32, bf16, f16, i64, i32, u8}) {
    CHECK(same(to_cpu(arange(0, 100, 3, t, kGpu)), arange(0, 100, 3, t)));
    CHECK(same(to_cpu(arange(1.5, 60.0, 0.5, t, kGpu)), arange(1.5, 60.0, 0.5, t)));
  }
  CHECK(same(to_cpu(linspace(0, 1, 11, f64, kGpu)), linspace(0, 1, 11, f64)));
  CHECK_THROWS_WITH_AS(arange(0, 3, 1, boolean, kGpu), "arange: does not take bool tensors", DTypeError);
}

TEST_CASE("complex: products of numbers that lie together or apart") {
  for (DType t : {f64, f32, bf16, f16}) {
    Tensor a = some_numbers({3, 5, 2}, t, 1), b = some_numbers({3, 5, 2}, t, 2), apart = some_numbers({3, 2, 5}, t, 3);
    CHECK(same(to_cpu(complex_mul(to_gpu(a), to_gpu(b))), complex_mul(a, b)));
    CHECK(same(to_cpu(complex_mul(to_gpu(a), transpose(to_gpu(apart), 1, 2))), complex_mul(a, transpose(apart, 1, 2))));
    CHECK(same(to_cpu(complex_mul(transpose(to_gpu(a), 0, 1), transpose(to_gpu(b), 0, 1))),
               complex_mul(transpose(a, 0, 1), transpose(b, 0, 1))));
  }
}
