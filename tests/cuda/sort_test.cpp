// Sorting and searching on the device: the same values and places as the CPU's kernels, which are the only right ones.
#include <doctest/doctest.h>

#include <limits>

#include "ops/kernels/sort.h"
#include "tests/cuda/on_device.h"

using namespace plumb;
using namespace plumb::testing;

namespace {

// Numbers with many equals, a few NaN and both zeros.
Tensor awkward(const Shape& shape, DType t, uint64_t seed) {
  Tensor x = some_numbers(shape, t, seed);
  if (t == f32 && x.numel() > 20) {
    x.data<float>()[3] = x.data<float>()[17] = std::numeric_limits<float>::quiet_NaN();
    x.data<float>()[5] = -0.0f;
    x.data<float>()[6] = 0.0f;
    x.data<float>()[7] = std::numeric_limits<float>::infinity();
  }
  return x;
}

struct Sorted {
  Tensor values, places;
};
Sorted first_k(const Tensor& x, int64_t k, bool descending) {
  Shape shape{x.shape()[0], k};
  Sorted s{empty(shape, x.dtype(), x.device()), empty(shape, i64, x.device())};
  if (k == x.shape()[1]) kernel::sort(x.device(), x, descending, s.values, s.places);
  else kernel::topk(x.device(), x, k, descending, s.values, s.places);
  return s;
}

void check(const Tensor& x, int64_t k) {
  for (bool descending : {false, true}) {
    Sorted host = first_k(x, k, descending), gpu = first_k(to_gpu(x), k, descending);
    INFO(name(x.dtype()) << " " << to_string(x.shape()) << " k " << k << (descending ? " descending" : ""));
    CHECK(same(to_cpu(gpu.values), host.values));
    CHECK(same(to_cpu(gpu.places), host.places));
  }
}

}  // namespace

TEST_CASE("sort: short and long rows of every type") {
  for (DType t : {f64, f32, bf16, f16, i64, i32, u8})
    for (const Shape& shape : {Shape{3, 1}, Shape{2, 7}, Shape{3, 64}, Shape{2, 1000}, Shape{2, 5000}, Shape{0, 4}, Shape{3, 0}})
      check(awkward(shape, t, 3), shape[1]);
}

TEST_CASE("topk: of short rows, of long rows by selection with and without equals at the edge, and by sorting") {
  for (DType t : {f64, f32, bf16, i64, u8}) {
    check(awkward({4, 50}, t, 5), 7);
    check(awkward({3, 3000}, t, 6), 1);
    check(awkward({3, 3000}, t, 7), 100);
    check(awkward({2, 2500}, t, 8), 2300);
  }
  check(from_vector(std::vector<float>(4000, 1.5f), {1, 4000}), 33);
}

TEST_CASE("searchsorted: both sides, one row for all or one each") {
  for (DType t : {f64, f32, i32, bf16}) {
    Tensor x = some_numbers({3, 40}, t), wanted = some_numbers({3, 25}, t, 9), row = some_numbers({1, 40}, t, 4);
    Tensor sorted = first_k(x, 40, false).values, one = first_k(row, 40, false).values;
    for (bool right : {false, true})
      for (const Tensor& in : {sorted, one}) {
        Tensor places = empty({3, 25}, i64), gpu_places = empty({3, 25}, i64, kGpu);
        kernel::searchsorted(cpu, in, wanted, right, places);
        kernel::searchsorted(kGpu, to_gpu(in), to_gpu(wanted), right, gpu_places);
        CHECK(same(to_cpu(gpu_places), places));
      }
  }
}
