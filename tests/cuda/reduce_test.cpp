// Reductions on the device against the CPU's kernels.
#include <doctest/doctest.h>

#include <limits>

#include "ops/kernels/reduce.h"
#include "ops/shape.h"
#include "tests/cuda/on_device.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::testing;
using plumb::test::difference;
using plumb::test::sample;

namespace {

// x reduced over the dimensions whose bit is set in `over`, on the device that it is on.
Tensor reduced(ReduceOp op, const Tensor& x, unsigned over, DType type) {
  Shape outer, inner;
  Strides outer_strides, inner_strides;
  for (int d = 0; d < x.rank(); ++d) {
    bool gone = over >> d & 1u;
    (gone ? inner : outer).push_back(x.shape()[d]);
    (gone ? inner_strides : outer_strides).push_back(x.strides()[d]);
  }
  Tensor y = empty(outer, type, x.device());
  kernel::reduce(x.device(), op, x, outer, outer_strides, inner, inner_strides, y);
  return y;
}

double epsilon(DType t) { return t == f64 ? 0x1p-52 : t == f32 ? 0x1p-23 : t == bf16 ? 0x1p-8 : t == f16 ? 0x1p-10 : 0; }

}  // namespace

TEST_CASE("reduce: sums over any dimensions of any strides agree with the CPU's, in every type") {
  for (DType t : {f64, f32, bf16, f16, i64, i32, u8})
    for (const Shape& shape : {Shape{5}, Shape{3, 7}, Shape{2, 33, 4}, Shape{4, 1, 65}, Shape{0, 3}, Shape{3, 0}, Shape{16, 8, 24}}) {
      Tensor x = some_numbers(shape, t), gpu = to_gpu(x);
      DType type = is_floating(t) ? t : i64;
      for (unsigned over = 0; over < 1u << shape.rank(); ++over) {
        INFO(name(t) << " " << to_string(shape) << " over " << over);
        CHECK(difference(to_cpu(reduced(ReduceOp::sum, gpu, over, type)), reduced(ReduceOp::sum, x, over, type)) <= 16 * epsilon(t));
        if (shape.rank() < 2) continue;
        Tensor turned = transpose(x, 0, 1), gpu_turned = transpose(gpu, 0, 1), back = slice(x, -1, 0, INT64_MAX, 2),
               gpu_back = slice(gpu, -1, 0, INT64_MAX, 2);
        CHECK(difference(to_cpu(reduced(ReduceOp::sum, gpu_turned, over, type)), reduced(ReduceOp::sum, turned, over, type)) <=
              16 * epsilon(t));
        CHECK(difference(to_cpu(reduced(ReduceOp::sum, gpu_back, over, type)), reduced(ReduceOp::sum, back, over, type)) <=
              16 * epsilon(t));
      }
    }
}

TEST_CASE("reduce: squares, products and extrema agree with the CPU's") {
  for (DType t : {f64, f32, i64, u8})
    for (ReduceOp op : {ReduceOp::sum_of_squares, ReduceOp::product, ReduceOp::maximum, ReduceOp::minimum}) {
      if (op == ReduceOp::sum_of_squares && !is_floating(t)) continue;
      if (op == ReduceOp::product && t == u8) continue;
      for (const Shape& shape : {Shape{7, 3}, Shape{2, 9, 5}, Shape{3, 300}, Shape{0, 4}}) {
        Tensor x = some_numbers(shape, t), gpu = to_gpu(x);
        for (unsigned over = 1; over < 1u << shape.rank(); ++over) {
          INFO(name(t) << " op " << static_cast<int>(op) << " " << to_string(shape) << " over " << over);
          CHECK(difference(to_cpu(reduced(op, gpu, over, t)), reduced(op, x, over, t)) <= 64 * epsilon(t));
        }
      }
    }
}

TEST_CASE("reduce: a NaN is the extremum, and nothing has the type's own") {
  Tensor x = some_numbers({4, 100}, f32);
  x.data<float>()[150] = std::numeric_limits<float>::quiet_NaN();
  for (ReduceOp op : {ReduceOp::maximum, ReduceOp::minimum}) {
    CHECK(difference(to_cpu(reduced(op, to_gpu(x), 2, f32)), reduced(op, x, 2, f32)) == 0);
    CHECK(difference(to_cpu(reduced(op, to_gpu(x), 1, f32)), reduced(op, x, 1, f32)) == 0);
    CHECK(same(to_cpu(reduced(op, to_gpu(zeros({2, 0})), 2, f32)), reduced(op, zeros({2, 0}), 2, f32)));
  }
}

TEST_CASE("reduce: what is long is cut into parts and still exact to rounding, the same every time") {
  for (const Shape& shape :
       {Shape{300001}, Shape{3, 40000}, Shape{40000, 3}, Shape{20000, 8}, Shape{1100, 70000 / 700}, Shape{1000, 520}, Shape{3, 300, 200}}) {
    Tensor x = sample(shape, 5, f32), gpu = to_gpu(x), exact = sample(shape, 5, f64);
    for (unsigned over = 1; over < 1u << shape.rank(); ++over) {
      INFO(to_string(shape) << " over " << over);
      Tensor first = to_cpu(reduced(ReduceOp::sum, gpu, over, f32));
      CHECK(difference(first, reduced(ReduceOp::sum, exact, over, f64)) < 2e-4);
      CHECK(same(first, to_cpu(reduced(ReduceOp::sum, gpu, over, f32))));
    }
  }
}

TEST_CASE("reduce_shifted: each output has its own shift") {
  for (auto op : {ShiftedReduceOp::squared_deviation, ShiftedReduceOp::exponential})
    for (DType t : {f64, f32})
      for (int kept : {0, 1}) {
        Tensor x = sample({6, 37}, 3, t), shift = sample({kept == 0 ? 6 : 37}, 4, t), y = empty(shift.shape(), t),
               gpu_y = empty(shift.shape(), t, kGpu);
        Shape outer{x.shape()[kept]}, inner{x.shape()[1 - kept]};
        Strides outer_strides{x.strides()[kept]}, inner_strides{x.strides()[1 - kept]};
        kernel::reduce_shifted(cpu, op, x, shift, outer, outer_strides, inner, inner_strides, y);
        kernel::reduce_shifted(kGpu, op, to_gpu(x), to_gpu(shift), outer, outer_strides, inner, inner_strides, gpu_y);
        CHECK(difference(to_cpu(gpu_y), y) < 32 * epsilon(t));
      }
}

TEST_CASE("extremum: the value and its first place, in every type, also of long rows and of NaN") {
  for (DType t : {f64, f32, bf16, f16, i64, i32, u8})
    for (const Shape& shape : {Shape{4, 9, 1}, Shape{2, 5, 3}, Shape{1, 20000, 1}, Shape{1, 3000, 2}, Shape{3, 1, 4}, Shape{0, 2, 1}})
      for (bool largest : {true, false}) {
        Tensor x = some_numbers(shape, t);
        if (t == f32 && x.numel() > 9) x.data<float>()[8] = std::numeric_limits<float>::quiet_NaN();
        Shape kept{shape[0], shape[2]};
        Tensor values = empty(kept, t), places = empty(kept, i64), gpu_values = empty(kept, t, kGpu), gpu_places = empty(kept, i64, kGpu);
        kernel::extremum(cpu, largest, x, values, places);
        kernel::extremum(kGpu, largest, to_gpu(x), gpu_values, gpu_places);
        INFO(name(t) << " " << to_string(shape) << (largest ? " largest" : " smallest"));
        CHECK(difference(to_cpu(gpu_values), values) == 0);
        CHECK(same(to_cpu(gpu_places), places));
      }
}
