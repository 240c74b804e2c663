// Shapes: dimensions inline, strides, broadcasting, checked dimensions.
#include "engine/core/shape.h"

#include <doctest/doctest.h>

#include "engine/core/error.h"

using namespace plumb;

TEST_CASE("Dims: holds up to eight sizes; a ninth is an error") {
  Shape s;
  CHECK(s.empty());
  CHECK(numel(s) == 1);
  for (int i = 0; i < kMaxRank; ++i) s.push_back(i + 1);
  CHECK(s.rank() == 8);
  CHECK(numel(s) == 40320);
  CHECK_THROWS_WITH_AS(s.push_back(1), "shape: a tensor has at most 8 dimensions", ShapeError);
  CHECK_THROWS_AS(s.insert(0, 1), ShapeError);
  CHECK_THROWS_AS(Shape(std::vector<int64_t>(9, 1)), ShapeError);
}

TEST_CASE("Dims: insert, erase, slice, compare, print") {
  Shape s{2, 3, 4};
  s.insert(1, 7);
  CHECK(s == Shape{2, 7, 3, 4});
  s.insert(4, 9);
  CHECK(s == Shape{2, 7, 3, 4, 9});
  s.erase(0);
  CHECK(s == Shape{7, 3, 4, 9});
  s.erase(3);
  CHECK(s.slice(1, 3) == Shape{3, 4});
  CHECK(s.slice(1, 1) == Shape{});
  CHECK(s != Shape{7, 3});
  CHECK(to_string(s) == "[7, 3, 4]");
  CHECK(to_string(Shape{}) == "[]");
  CHECK(Dims::filled(3, 5) == Shape{5, 5, 5});
}

TEST_CASE("contiguous_strides: row-major, also with sizes of zero") {
  CHECK(contiguous_strides({2, 3, 4}) == Strides{12, 4, 1});
  CHECK(contiguous_strides({}) == Strides{});
  CHECK(contiguous_strides({2, 0, 4}) == Strides{4, 4, 1});
}

TEST_CASE("broadcast_shapes: NumPy's rule, and its errors") {
  CHECK(broadcast_shapes("add", {2, 1, 3}, {4, 1}) == Shape{2, 4, 3});
  CHECK(broadcast_shapes("add", {}, {2, 2}) == Shape{2, 2});
  CHECK(broadcast_shapes("add", {0, 3}, {1, 3}) == Shape{0, 3});
  CHECK(broadcast_shapes("add", {1}, {0}) == Shape{0});
  CHECK_THROWS_WITH_AS(broadcast_shapes("add", {2, 3}, {2, 4}), "add: shapes [2, 3] and [2, 4] do not broadcast", ShapeError);
  CHECK_THROWS_AS(broadcast_shapes("add", {0}, {2}), ShapeError);
}

TEST_CASE("checked_dim: counts from the end, names the range") {
  CHECK(checked_dim("sum", -1, 3) == 2);
  CHECK(checked_dim("sum", 2, 3) == 2);
  CHECK(checked_dim("sum", -1, 0) == 0);
  CHECK_THROWS_WITH_AS(checked_dim("sum", 3, 3), "sum: dim 3 is outside [-3, 3)", IndexError);
  CHECK_THROWS_AS(checked_dim("sum", -4, 3), IndexError);
}
