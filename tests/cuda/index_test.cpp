// Gathering and scattering on the device against the CPU's kernels.
#include <doctest/doctest.h>

#include "engine/core/device_runtime.h"
#include "ops/kernels/index.h"
#include "ops/shape.h"
#include "tests/cuda/on_device.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::testing;
using plumb::test::difference;
using plumb::test::sample;

namespace {

Tensor random_index(const Shape& shape, int64_t n, uint64_t seed) {
  Generator g(seed);
  std::vector<int64_t> places(static_cast<size_t>(numel(shape)));
  for (int64_t& p : places) p = static_cast<int64_t>(g.next_below(static_cast<uint64_t>(n)));
  return from_vector(places, shape);
}

Tensor gathered(const Tensor& x, int dim, const Tensor& index) {
  Tensor y = empty(index.shape(), x.dtype(), x.device());
  kernel::gather(x.device(), x, dim, index, y);
  return y;
}
Tensor scattered(ScatterOp op, const Tensor& x, int dim, const Tensor& index, const Tensor& src) {
  Tensor z = on(x, x.device());
  kernel::scatter(x.device(), op, dim, index, src, z);
  return z;
}

}  // namespace

TEST_CASE("gather: elements, and whole rows that share an index, of every type and any strides") {
  for (DType t : {f64, f32, bf16, u8, boolean}) {
    Tensor x = some_numbers({9, 5, 32}, t), gpu = to_gpu(x);
    for (int dim : {0, 1, 2}) {
      Shape shape = x.shape();
      shape[dim] = 4;
      Tensor index = random_index(shape, x.shape()[dim], 3);
      CHECK(same(to_cpu(gathered(gpu, dim, to_gpu(index))), gathered(x, dim, index)));
      Tensor turned = transpose(x, 0, 1);
      Tensor other = random_index({3, 7, 32}, 5, 4);
      if (dim == 0) CHECK(same(to_cpu(gathered(transpose(gpu, 0, 1), 0, to_gpu(other))), gathered(turned, 0, other)));
    }
    Tensor rows = random_index({20}, 9, 5), index = expand(reshape(rows, {20, 1, 1}), {20, 5, 32});
    CHECK(same(to_cpu(gathered(gpu, 0, expand(reshape(to_gpu(rows), {20, 1, 1}), {20, 5, 32}))), gathered(x, 0, index)));
    CHECK(gathered(gpu, 0, to_gpu(random_index({0, 5, 32}, 9, 1))).numel() == 0);
  }
}

TEST_CASE("scatter: copies, sums and extrema in order, by lines and by segments") {
  struct Case {
    Shape x, index;
    int dim;
  };
  for (DType t : {f64, f32, i64})
    for (const Case& c : {Case{{6, 5}, {9, 4}, 0}, Case{{6, 5}, {4, 9}, 1}, Case{{50}, {1000}, 0}, Case{{3}, {700}, 0},
                          Case{{4, 7}, {300, 7}, 0}, Case{{4, 7, 3}, {4, 200, 2}, 1}})
      for (ScatterOp op : {ScatterOp::copy, ScatterOp::add, ScatterOp::maximum, ScatterOp::minimum}) {
        Tensor x = some_numbers(c.x, t), src = some_numbers(c.index, t, 2), index = random_index(c.index, c.x[c.dim], 3);
        INFO(name(t) << " " << to_string(c.index) << " into " << to_string(c.x) << " op " << static_cast<int>(op));
        Tensor host = scattered(op, x, c.dim, index, src), gpu = to_cpu(scattered(op, to_gpu(x), c.dim, to_gpu(index), to_gpu(src)));
        CHECK(same(gpu, host));  // the numbers are multiples of 1/16: sums are exact in any order
      }
}

TEST_CASE("scatter: rows that share an index, with other strides; copies of every size; the same bits every time") {
  Tensor rows = random_index({500}, 10, 6), x = sample({10, 33}, 1, f32), src = sample({33, 500}, 2, f32);
  Tensor index = expand(reshape(rows, {500, 1}), {500, 33}), gpu_index = expand(reshape(to_gpu(rows), {500, 1}), {500, 33});
  Tensor host = scattered(ScatterOp::add, x, 0, index, transpose(src, 0, 1)),
         gpu = scattered(ScatterOp::add, to_gpu(x), 0, gpu_index, transpose(to_gpu(src), 0, 1));
  CHECK(difference(to_cpu(gpu), host) < 1e-5);
  CHECK(same(to_cpu(gpu), to_cpu(scattered(ScatterOp::add, to_gpu(x), 0, gpu_index, transpose(to_gpu(src), 0, 1)))));
  for (DType t : {f64, bf16, u8, boolean, i32}) {
    Tensor into = some_numbers({10, 33}, t), from = some_numbers({500, 33}, t, 8);
    CHECK(same(to_cpu(scattered(ScatterOp::copy, to_gpu(into), 0, gpu_index, to_gpu(from))),
               scattered(ScatterOp::copy, into, 0, index, from)));
  }
}

TEST_CASE("check_index: an index outside is an error where the host next waits, and what is outside is left out") {
  bool found = true;
  int64_t value = 0;
  Tensor index = from_vector(std::vector<int64_t>{0, 7, 2}), gpu = to_gpu(index), x = to_gpu(some_numbers({3}, f32));
  kernel::check_index(kGpu, "gather", gpu, 0, 3, found, value);
  CHECK_FALSE(found);
  CHECK_THROWS_WITH_AS(to_cpu(gpu), "gather: index 7 is outside [0, 3)", IndexError);
  CHECK(same(to_cpu(gpu), index));  // said once
  Tensor y = to_cpu(gathered(x, 0, gpu)), z = to_cpu(scattered(ScatterOp::add, x, 0, gpu, x));
  CHECK(y.data<float>()[1] == 0);
  CHECK(z.data<float>()[1] == to_cpu(x).data<float>()[1]);
  kernel::check_index(kGpu, "gather", gpu, 0, 8, found, value);
  synchronize(kGpu);
}

TEST_CASE("count_true and true_places: masks of one tile and of many") {
  for (int64_t n : {int64_t{0}, int64_t{1}, int64_t{31}, int64_t{2048}, int64_t{10001}}) {
    Tensor mask = empty({n}, boolean);
    Generator g(5);
    for (int64_t i = 0; i < n; ++i) mask.data<bool>()[i] = g.next_below(3) == 0;
    int64_t count = -1, gpu_count = -1;
    kernel::count_true(cpu, mask, count);
    kernel::count_true(kGpu, to_gpu(mask), gpu_count);
    CHECK(gpu_count == count);
    Tensor places = empty({count}, i64), gpu_places = empty({count}, i64, kGpu);
    kernel::true_places(cpu, mask, places);
    kernel::true_places(kGpu, to_gpu(mask), gpu_places);
    CHECK(same(to_cpu(gpu_places), places));
  }
}
