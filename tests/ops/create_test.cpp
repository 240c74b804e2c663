// Sequences, identities, masks and diagonals against their definitions.
#include "ops/create.h"

#include <doctest/doctest.h>

#include "tests/ops/reference.h"

using namespace plumb;
using namespace plumb::testing;

TEST_CASE("arange and linspace: counts, types, both directions, ends") {
  CHECK(to_vector<int64_t>(arange(4)) == std::vector<int64_t>{0, 1, 2, 3});
  CHECK(arange(4).dtype() == i64);
  CHECK(to_vector<int64_t>(arange(5, -2, -3)) == std::vector<int64_t>{5, 2, -1});
  CHECK(to_vector<int64_t>(arange(1, 8, 3)) == std::vector<int64_t>{1, 4, 7});
  CHECK(to_vector<int64_t>(arange(1, 7, 3)) == std::vector<int64_t>{1, 4});
  CHECK(arange(0).shape() == Shape{0});
  CHECK(arange(2.5).dtype() == f32);
  CHECK(to_vector(arange(0.0, 1.0, 0.25, f64)) == std::vector<double>{0, 0.25, 0.5, 0.75});
  for (DType t : {f64, f32, bf16, f16, i64, i32, u8}) {
    Tensor x = arange(100, t);
    CHECK(x.dtype() == t);
    std::vector<double> v = to_vector(x);
    for (size_t i = 0; i < 100; ++i) CHECK(v[i] == static_cast<double>(i));
  }
  Tensor big = arange(int64_t{1} << 60, (int64_t{1} << 60) + 3, 1);  // beyond what a double holds
  CHECK(to_vector<int64_t>(big)[2] == (int64_t{1} << 60) + 2);
  std::vector<double> line = to_vector(linspace(-1, 2, 7, f64));
  for (size_t i = 0; i < 7; ++i) CHECK(line[i] == doctest::Approx(-1 + 0.5 * static_cast<double>(i)).epsilon(1e-15));
  CHECK(line.back() == 2);
  CHECK(to_vector(linspace(3, 5, 1)) == std::vector<double>{3});
  CHECK(linspace(0, 1, 0).shape() == Shape{0});
  CHECK(to_vector(linspace(0, 0.1, 4, f64)).back() == 0.1);
  CHECK_THROWS_AS(arange(0, 1, 0), ValueError);
  CHECK_THROWS_AS(arange(0, 5, -1), ValueError);
  CHECK_THROWS_WITH_AS(linspace(0, 1, -1), "linspace: the count is negative: -1", ValueError);
}

TEST_CASE("eye, triangles and their masks, diagonals, grids") {
  for (auto [rows, columns] : {std::pair<int64_t, int64_t>{3, 3}, {2, 5}, {5, 2}, {0, 3}, {3, 0}}) {
    Reference one({rows, columns});
    for_each_index(one.shape, [&](const Index& i) { one.at(i) = i[0] == i[1]; });
    CHECK(error(eye(rows, columns, f64), one) == 0);
    Tensor x = uniform({2, rows, columns}, 1);
    for (int64_t d : {-7, -1, 0, 1, 2, 9}) {
      Reference lower({rows, columns}), upper({rows, columns}), l(x), u(x);
      for_each_index(one.shape, [&](const Index& i) {
        lower.at(i) = i[1] - i[0] <= d;
        upper.at(i) = i[1] - i[0] >= d;
      });
      for_each_index(x.shape(), [&](const Index& i) {
        l.at(i) *= lower.at({i[1], i[2]});
        u.at(i) *= upper.at({i[1], i[2]});
      });
      CHECK(error(tril_mask(rows, columns, d), lower) == 0);
      CHECK(error(triu_mask(rows, columns, d), upper) == 0);
      for (const Tensor& layout : layouts(x)) {
        CHECK(error(tril(layout, d), l) == 0);
        CHECK(error(triu(layout, d), u) == 0);
      }
    }
  }
  CHECK(tril(full({2, 2}, 3, i32)).dtype() == i32);
  Tensor hidden = tensor({{1.0, NAN}, {2.0, 3.0}});
  CHECK(to_vector(tril(hidden)) == std::vector<double>{1, 0, 2, 3});
  Tensor v = tensor({1.0, 2.0});
  CHECK(to_vector(diag(v)) == std::vector<double>{1, 0, 0, 2});
  CHECK(to_vector(diag(v, 1)) == std::vector<double>{0, 1, 0, 0, 0, 2, 0, 0, 0});
  CHECK(to_vector(diag(tensor({{1.0, 2.0}, {3.0, 4.0}}), -1)) == std::vector<double>{3});
  Tensor embedded = diag_embed(tensor({{1.0, 2.0}, {3.0, 4.0}}));
  CHECK(to_vector(embedded) == std::vector<double>{1, 0, 0, 2, 3, 0, 0, 4});
  auto ij = meshgrid({arange(2), arange(3)}), xy = meshgrid({arange(2), arange(3)}, "xy");
  CHECK(to_vector(ij[0]) == std::vector<double>{0, 0, 0, 1, 1, 1});
  CHECK(to_vector(ij[1]) == std::vector<double>{0, 1, 2, 0, 1, 2});
  CHECK(to_vector(xy[0]) == std::vector<double>{0, 1, 0, 1, 0, 1});
  CHECK(xy[1].shape() == Shape{3, 2});
  CHECK_THROWS_WITH_AS(tril(zeros({3})), "tril: needs two dimensions, the shape is [3]", ShapeError);
  CHECK_THROWS_WITH_AS(meshgrid({v}, "ji"), "meshgrid: the indexing is \"ij\" or \"xy\", not \"ji\"", ValueError);
  CHECK_THROWS_AS(diag_embed(v, 0, 1, 1), IndexError);
  CHECK_THROWS_AS(diag(zeros({2, 2, 2})), ShapeError);
}
