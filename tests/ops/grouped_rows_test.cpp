// Rows that go to places and come back, against loops: values, types, places that are nowhere, autocast's business left alone, errors.
#include "ops/grouped_rows.h"

#include <doctest/doctest.h>

#include "engine/autograd/backward.h"
#include "engine/core/parallel.h"
#include "ops/create.h"
#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/ops/reference.h"
#include "tests/ops/samples.h"

using namespace plumb;

namespace {

double largest(const Tensor& difference) { return difference.numel() == 0 ? 0 : max(abs(to(difference, f64))).item(); }

}  // namespace

TEST_CASE("group_by: labels in order, equal ones as they come, and where each of them went") {
  Grouping g = group_by(tensor({2, 0, 2, 3, 0, 2}), 5);
  CHECK(to_vector<int64_t>(g.order) == std::vector<int64_t>{1, 4, 0, 2, 5, 3});
  CHECK(to_vector<int64_t>(g.place) == std::vector<int64_t>{2, 0, 3, 5, 1, 4});
  CHECK(to_vector<int64_t>(g.offsets) == std::vector<int64_t>{0, 2, 2, 5, 6, 6});
  Grouping none = group_by(zeros({0}, i64), 2);
  CHECK(none.order.numel() == 0);
  CHECK(to_vector<int64_t>(none.offsets) == std::vector<int64_t>{0, 0, 0});
  CHECK(to_vector<int64_t>(group_by(zeros({0}, i64), 0).offsets) == std::vector<int64_t>{0});
}

TEST_CASE("spread_rows and join_rows: each copy at its place with its weight, and their weighed sum back") {
  Tensor x = tensor({{1.0, 2.0}, {3.0, 4.0}, {5.0, 6.0}}), w = tensor({10.0, 20.0, 30.0, 40.0});
  Tensor place = tensor({{2, 0}, {-1, -1}, {1, 3}});
  CHECK(to_vector(spread_rows(x, place, 4, w)) == std::vector<double>{10, 20, 100, 120, 30, 60, 200, 240});
  CHECK(to_vector(spread_rows(x, place, 4)) == std::vector<double>{1, 2, 5, 6, 1, 2, 5, 6});
  Tensor rows = tensor({{1.0, 0.0}, {0.0, 1.0}, {2.0, 2.0}, {1.0, 3.0}});
  CHECK(to_vector(join_rows(rows, place, w)) == std::vector<double>{70, 60, 0, 0, 40, 140});
  CHECK(to_vector(join_rows(rows, place)) == std::vector<double>{3, 2, 0, 0, 1, 4});
  CHECK(to_vector(row_dots(x, rows, place)) == std::vector<double>{1, 6, 6, 23});
}

TEST_CASE("spread_rows and join_rows: equal what gathering and scattering give, with gradients, in every combination of types") {
  Grouping g = group_by(tensor({1, 0, 2, 1, 0, 0, 2, 1, 0, 1}), 3);
  Tensor place = reshape(g.place, {5, 2}), source = floor_divide(g.order, scalar_tensor(2, i64));
  for (auto [a, b] : std::vector<std::pair<DType, DType>>{{f64, f64}, {f32, f32}, {f32, bf16}, {bf16, f32}, {f16, bf16}, {bf16, bf16}}) {
    DType sums = a == f64 ? f64 : f32;
    double tolerance = a == f64 ? 0x1p-50
                                : std::max(a == f32   ? 0x1p-20
                                           : a == f16 ? 0x1p-9
                                                      : 0x1p-6,
                                           b == f32   ? 0x1p-20
                                           : b == f16 ? 0x1p-9
                                                      : 0x1p-6);
    Tensor x = testing::uniform({5, 7}, 1, -1, 1, a).requires_grad_(), w = testing::uniform({10}, 2, -1, 1, sums).requires_grad_();
    Tensor y = spread_rows(x, place, 10, w, b), expected = index_select(to(x, f64), 0, source) * unsqueeze(to(w, f64), 1);
    CHECK(y.dtype() == b);
    CHECK(largest(to(y, f64) - expected) <= tolerance);
    Tensor dy = testing::uniform({10, 7}, 3, -1, 1, b);
    std::vector<Tensor> got = grad({y}, {x, w}, {}, {dy}), want = grad({expected}, {x, w}, {}, {to(dy, f64)});
    CHECK(got[0].dtype() == a);
    for (size_t i = 0; i < 2; ++i) CHECK(largest(to(got[i], f64) - to(want[i], f64)) <= 8 * tolerance);
    Tensor rows = testing::uniform({10, 7}, 4, -1, 1, a).requires_grad_();
    Tensor back = join_rows(rows, place, w, b), sum = index_add(zeros({5, 7}, f64), 0, source, to(rows, f64) * unsqueeze(to(w, f64), 1));
    CHECK(back.dtype() == b);
    CHECK(largest(to(back, f64) - sum) <= 4 * tolerance);
    Tensor dback = testing::uniform({5, 7}, 5, -1, 1, b);
    got = grad({back}, {rows, w}, {}, {dback});
    want = grad({sum}, {rows, w}, {}, {to(dback, f64)});
    for (size_t i = 0; i < 2; ++i) CHECK(largest(to(got[i], f64) - to(want[i], f64)) <= 8 * tolerance);
  }
}

TEST_CASE("join_rows: unless told, the type is that of rows and weights together") {
  Tensor place = tensor({{0}, {1}}), rows = ones({2, 3}, bf16);
  CHECK(join_rows(rows, place).dtype() == bf16);
  CHECK(join_rows(rows, place, ones({2}, f32)).dtype() == f32);
  CHECK(join_rows(rows, place, ones({2}, f64)).dtype() == f64);
}

TEST_CASE("rows at places: the same bits with any number of threads") {
  int before = num_threads();
  Tensor label = remainder(arange(4000, i64) * 7, scalar_tensor(13, i64)), x = testing::uniform({2000, 33}, 1, -1, 1, f32);
  std::vector<Tensor> first;
  for (int threads : {1, 2, 5}) {
    set_num_threads(threads);
    Tensor place = reshape(group_by(label, 13).place, {2000, 2}), y = spread_rows(x, place, 4000, {}, bf16);
    std::vector<Tensor> now{y, join_rows(y, place, testing::uniform({4000}, 2, -1, 1, f32)), row_dots(x, y, place)};
    if (first.empty()) first = now;
    for (size_t i = 0; i < now.size(); ++i) CHECK(test::same_bits(now[i], first[i]));
  }
  set_num_threads(before);
}

TEST_CASE("rows at places: what does not fit is named") {
  Tensor x = ones({2, 3}), place = tensor({{0, 1}, {2, 3}});
  CHECK_THROWS_WITH_AS(group_by(tensor({0, 3}), 3), "group_by: index 3 is outside [0, 3)", IndexError);
  CHECK_THROWS_WITH_AS(group_by(ones({2}), 3), "group_by: takes a vector of i64, got f32 [2]", ShapeError);
  CHECK_THROWS_WITH_AS(spread_rows(x, tensor({{0}}), 1), "spread_rows: takes x [N, n] and places [N, k], got [2, 3] and [1, 1]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(spread_rows(x, place, 4, ones({3})), "spread_rows: 4 rows need as many weights, got [3]", ShapeError);
  CHECK_THROWS_WITH_AS(spread_rows(x, place, 3), "spread_rows: place 3 is outside [−1, 3)", IndexError);
  CHECK_THROWS_WITH_AS(spread_rows(x, tensor({{0, 1}, {1, 2}}), 4), "spread_rows: place 1 is named twice", IndexError);
  CHECK_THROWS_WITH_AS(spread_rows(x, tensor({{0, 1}, {2, -1}}), 4), "spread_rows: only 3 of 4 rows are somebody's place", IndexError);
  CHECK_THROWS_WITH_AS(spread_rows(x, place, 4, {}, f64), "spread_rows: takes floating rows, f64 only on both sides; got f32 and f64",
                       DTypeError);
  CHECK_THROWS_WITH_AS(join_rows(x, to(place, i32)), "join_rows: places must be i64, not i32", DTypeError);
  CHECK_THROWS_WITH_AS(row_dots(x, ones({4, 2}), place), "row_dots: takes y [rows, n] beside x [N, n], got [4, 2] beside [2, 3]",
                       ShapeError);
}
