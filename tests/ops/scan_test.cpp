// Running sums, products and recurrences: values, long lines, independence of threads.
#include "ops/scan.h"

#include <doctest/doctest.h>

#include <cstring>

#include "engine/core/parallel.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "tests/ops/reference.h"

using namespace plumb;
using namespace plumb::testing;

namespace {

// r[i] = step(r[i − 1 along dim], i), in order or from the end.
template <typename Step>
Reference scanned(const Shape& shape, int dim, bool reverse, Step&& step) {
  Reference r(shape);
  Shape lines = shape;
  lines[dim] = 1;
  for_each_index(lines, [&](Index i) {
    double h = 0;
    for (int64_t t = 0; t < shape[dim]; ++t) {
      i[static_cast<size_t>(dim)] = reverse ? shape[dim] - 1 - t : t;
      r.at(i) = h = step(h, i, t == 0);
    }
  });
  return r;
}

}  // namespace

TEST_CASE("cumsum, cumprod, linear_scan: values along any dimension, for any strides") {
  for (const Shape& shape : {Shape{3, 4, 5}, Shape{2, 100}, Shape{100, 70}, Shape{70000}})
    for (int dim = 0; dim < shape.rank(); ++dim)
      for (const Tensor& x : layouts(uniform(shape, 1, -1.1, 1.1))) {
        INFO(to_string(shape) << " along " << dim);
        Reference r(x);
        CHECK(error(cumsum(x, dim), scanned(shape, dim, false, [&](double h, const Index& i, bool) { return h + r.at(i); })) < 1e-12);
        CHECK(error(cumprod(x, dim), scanned(shape, dim, false,
                                             [&](double h, const Index& i, bool first) { return first ? r.at(i) : h * r.at(i); })) < 1e-12);
        Tensor b = uniform(shape, 2);
        Reference rb(b);
        for (bool reverse : {false, true})
          CHECK(error(linear_scan(x, b, dim, reverse),
                      scanned(shape, dim, reverse, [&](double h, const Index& i, bool) { return r.at(i) * h + rb.at(i); })) < 1e-12);
      }
}

TEST_CASE("cumsum: long lines keep their digits, in the same bits for any number of threads") {
  int before = num_threads();
  Tensor x = uniform({1 << 20}, 3, 0, 1, f32);
  Reference r(x), expected = scanned(x.shape(), 0, false, [&](double h, const Index& i, bool) { return h + r.at(i); });
  set_num_threads(1);
  Tensor alone = cumsum(x, 0), rows = cumsum(reshape(x, {1 << 10, 1 << 10}), 1), columns = cumprod(reshape(x, {1 << 10, 1 << 10}), 0);
  CHECK(error(alone, expected) < 0x1p-23);
  for (int threads : {2, 3, 8}) {
    set_num_threads(threads);
    CHECK(std::memcmp(cumsum(x, 0).raw_data(), alone.raw_data(), 4u << 20) == 0);
    CHECK(std::memcmp(cumsum(reshape(x, {1 << 10, 1 << 10}), 1).raw_data(), rows.raw_data(), 4u << 20) == 0);
    CHECK(std::memcmp(cumprod(reshape(x, {1 << 10, 1 << 10}), 0).raw_data(), columns.raw_data(), 4u << 20) == 0);
  }
  set_num_threads(before);
}

TEST_CASE("running sums: types, sizes of 0, errors") {
  CHECK(cumsum(tensor({true, true}), 0).dtype() == i64);
  CHECK(to_vector<int64_t>(cumprod(tensor({2, 3, -1}, i32), 0)) == std::vector<int64_t>{2, 6, -6});
  CHECK(cumsum(full({300}, 1.0, bf16), 0).dtype() == bf16);
  CHECK(to_vector(cumsum(full({4}, 0.5, f16), 0)) == std::vector<double>{0.5, 1, 1.5, 2});
  CHECK(cumsum(zeros({0, 3}), 0).shape() == Shape{0, 3});
  CHECK(cumsum(scalar_tensor(2.0, f32), 0).item() == 2);
  Tensor none = zeros({2, 0}, f64).requires_grad_();
  sum(cumprod(none, 1)).backward();
  CHECK(none.grad().shape() == Shape{2, 0});
  CHECK(linear_scan(tensor({INFINITY, 1.0}), tensor({1.0, 1.0}), 0).numel() == 2);
  CHECK(to_vector(linear_scan(tensor({INFINITY, 1.0}), tensor({1.0, 1.0}), 0)) == std::vector<double>{1, 2});
  CHECK(to_vector(linear_scan(tensor({1.0, 0.0, 2.0}), tensor({INFINITY, 3.0, 1.0}), 0)) ==
        std::vector<double>{INFINITY, 3, 7});  // starts anew
  CHECK_THROWS_AS(cumsum(zeros({2}), 1), IndexError);
  CHECK_THROWS_WITH_AS(linear_scan(tensor({1}), tensor({1}), 0), "linear_scan: takes floating tensors, not i64", DTypeError);
  CHECK_THROWS_AS(linear_scan(zeros({2}), zeros({3}), 0), ShapeError);
}
