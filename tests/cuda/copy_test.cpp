// Copies, conversions and fills on the device against the CPU.
#include <doctest/doctest.h>

#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/shape.h"
#include "tests/cuda/on_device.h"

using namespace plumb;
using namespace plumb::testing;

TEST_CASE("copy: elements go to the device and back as they are, for every type and any strides") {
  for (DType t : {f64, f32, bf16, f16, i64, i32, u8, boolean})
    for (const Shape& shape : {Shape{}, Shape{0, 3}, Shape{1}, Shape{7}, Shape{3, 5}, Shape{2, 33, 65}}) {
      Tensor x = some_numbers(shape, t);
      CHECK(same(to_cpu(to_gpu(x)), x));
      if (shape.rank() < 2) continue;
      Tensor y = to_gpu(x);
      CHECK(same(to_cpu(transpose(y, 0, 1)), transpose(x, 0, 1)));
      CHECK(same(to_cpu(clone(transpose(y, 0, -1))), transpose(x, 0, -1)));
      CHECK(same(to_cpu(clone(flip(slice(y, 0, 1), {-1}))), flip(slice(x, 0, 1), {-1})));
    }
}

TEST_CASE("copy: every type converts to every other as on the CPU") {
  for (DType from : {f64, f32, bf16, f16, i64, i32, u8, boolean})
    for (DType to_type : {f64, f32, bf16, f16, i64, i32, u8, boolean}) {
      Tensor x = some_numbers({5, 7}, from);
      CHECK_MESSAGE(same(to_cpu(to(to_gpu(x), to_type)), to(x, to_type)), name(from) << " to " << name(to_type));
      CHECK_MESSAGE(same(to_cpu(to(transpose(to_gpu(x), 0, 1), to_type)), to(transpose(x, 0, 1), to_type)), name(from)
                                                                                                                << " to " << name(to_type));
    }
}

TEST_CASE("fill: every element, also of a view") {
  Device gpu{DeviceType::cuda, 0};
  for (DType t : {f64, f32, bf16, f16, i64, i32, u8, boolean}) CHECK(same(to_cpu(full({3, 1000}, 3, t, gpu)), full({3, 1000}, 3, t)));
  Tensor x = zeros({4, 6}, f32, gpu), expected = zeros({4, 6});
  Tensor part = slice(x, 1, 2, 5), expected_part = slice(expected, 1, 2, 5);
  fill_(part, 1.5);
  fill_(expected_part, 1.5);
  CHECK(same(to_cpu(x), expected));
}
