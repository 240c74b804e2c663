// Views and copies: every element stands where the definition puts it, views share storage, bad arguments are named.
#include "ops/shape.h"

#include <doctest/doctest.h>

#include <functional>

#include "engine/autograd/backward.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "tests/ops/reference.h"

using namespace plumb;
using namespace plumb::testing;

namespace {

// y has `shape`, and y[i] = x[from(i)].
bool moves(const Tensor& y, const Tensor& x, const Shape& shape, const std::function<Index(const Index&)>& from) {
  Reference source(x), expected(shape);
  for_each_index(shape, [&](const Index& i) { expected.at(i) = source.at(from(i)); });
  return error(y, expected) == 0;
}

bool shares(const Tensor& y, const Tensor& x) { return y.impl()->storage.get() == x.impl()->storage.get(); }

}  // namespace

TEST_CASE("reshape, flatten, unflatten: the same elements in row-major order; a view where the strides allow") {
  for (const Tensor& x : layouts(uniform({2, 3, 4}, 1))) {
    Reference flat(x);
    for (const Tensor& y : {reshape(x, {4, 6}), reshape(x, {-1, 6}), reshape(x, {24}), flatten(x), flatten(x, 1), flatten(x, 0, 1),
                            unflatten(x, 2, {2, -1}), unflatten(x, 1, {3, 1})}) {
      Reference expected(y.shape());
      expected.values = flat.values;
      CHECK(error(y, expected) == 0);
    }
    CHECK(flatten(x, 1).shape() == Shape{2, 12});
    CHECK(unflatten(x, 2, {2, -1}).shape() == Shape{2, 3, 2, 2});
    CHECK(shares(reshape(x, {6, 4}), x) == (x.is_contiguous() || x.strides()[0] == 3 * x.strides()[1]));
  }
  CHECK(flatten(zeros({})).shape() == Shape{1});
  CHECK(reshape(zeros({0, 3}), {3, 0, 5}).shape() == Shape{3, 0, 5});
  CHECK_THROWS_WITH_AS(reshape(zeros({2, 3}), {4, 2}), "reshape: 6 elements do not take the shape [4, 2]", ShapeError);
  CHECK_THROWS_AS(reshape(zeros({2, 3}), {-1, 4}), ShapeError);
  CHECK_THROWS_AS(reshape(zeros({2, 3}), {-1, -1}), ShapeError);
  CHECK_THROWS_WITH_AS(flatten(zeros({2, 3}), 1, 0), "flatten: the first dimension 1 comes after the last 0", IndexError);
  CHECK_THROWS_AS(unflatten(zeros({2, 6}), 1, {4, -1}), ShapeError);
}

TEST_CASE("transpose, mT, permute, movedim: dimensions change places") {
  for (const Tensor& x : layouts(uniform({2, 3, 4}, 1))) {
    CHECK(moves(transpose(x, 0, -1), x, {4, 3, 2}, [](const Index& i) { return Index{i[2], i[1], i[0]}; }));
    CHECK(moves(mT(x), x, {2, 4, 3}, [](const Index& i) { return Index{i[0], i[2], i[1]}; }));
    CHECK(moves(permute(x, {2, 0, 1}), x, {4, 2, 3}, [](const Index& i) { return Index{i[1], i[2], i[0]}; }));
    CHECK(moves(permute(x, {-1, 0, -2}), x, {4, 2, 3}, [](const Index& i) { return Index{i[1], i[2], i[0]}; }));
    CHECK(moves(movedim(x, 0, -1), x, {3, 4, 2}, [](const Index& i) { return Index{i[2], i[0], i[1]}; }));
    CHECK(moves(movedim(x, 2, 0), x, {4, 2, 3}, [](const Index& i) { return Index{i[1], i[2], i[0]}; }));
    CHECK(shares(permute(x, {2, 0, 1}), x));
  }
  CHECK_THROWS_AS(transpose(zeros({2, 3}), 0, 2), IndexError);
  CHECK_THROWS_WITH_AS(mT(zeros({3})), "mT: needs two dimensions, the shape is [3]", ShapeError);
  CHECK_THROWS_AS(permute(zeros({2, 3}), {0, 0}), ShapeError);
  CHECK_THROWS_AS(permute(zeros({2, 3}), {0}), ShapeError);
}

TEST_CASE("expand, unsqueeze, squeeze: dimensions of size 1 come, go and repeat") {
  Tensor x = uniform({3, 1}, 1);
  CHECK(moves(expand(x, {2, 3, 4}), x, {2, 3, 4}, [](const Index& i) { return Index{i[1], 0}; }));
  CHECK(moves(expand(x, {-1, 5}), x, {3, 5}, [](const Index& i) { return Index{i[0], 0}; }));
  CHECK(shares(expand(x, {2, 3, 4}), x));
  CHECK(expand(x, {3, 0}).shape() == Shape{3, 0});
  CHECK(unsqueeze(x, 0).shape() == Shape{1, 3, 1});
  CHECK(unsqueeze(x, -1).shape() == Shape{3, 1, 1});
  CHECK(squeeze(x, 1).shape() == Shape{3});
  CHECK(squeeze(unsqueeze(x, 0)).shape() == Shape{3});
  CHECK_THROWS_AS(expand(x, {2, 4}), ShapeError);
  CHECK_THROWS_AS(expand(x, {3}), ShapeError);
  CHECK_THROWS_AS(unsqueeze(x, 3), IndexError);
  CHECK_THROWS_WITH_AS(squeeze(x, 0), "squeeze: dimension 0 of [3, 1] is not 1", ShapeError);
}

TEST_CASE("slice, narrow, select, diagonal, windows: parts of a tensor, as views") {
  for (const Tensor& x : layouts(uniform({4, 5}, 1))) {
    CHECK(moves(slice(x, 1, 1, 5, 2), x, {4, 2}, [](const Index& i) { return Index{i[0], 1 + 2 * i[1]}; }));
    CHECK(moves(slice(x, 0, -3, -1), x, {2, 5}, [](const Index& i) { return Index{i[0] + 1, i[1]}; }));
    CHECK(slice(x, 0, 3, 2).shape() == Shape{0, 5});
    CHECK(slice(x, 0, -99, 99).shape() == Shape{4, 5});
    CHECK(moves(narrow(x, 1, 2, 3), x, {4, 3}, [](const Index& i) { return Index{i[0], i[1] + 2}; }));
    CHECK(moves(select(x, 0, -1), x, {5}, [](const Index& i) { return Index{3, i[0]}; }));
    CHECK(moves(diagonal(x), x, {4}, [](const Index& i) { return Index{i[0], i[0]}; }));
    CHECK(moves(diagonal(x, 2), x, {3}, [](const Index& i) { return Index{i[0], i[0] + 2}; }));
    CHECK(moves(diagonal(x, -1), x, {3}, [](const Index& i) { return Index{i[0] + 1, i[0]}; }));
    CHECK(moves(sliding_window(x, 1, 3, 2), x, {4, 2, 3}, [](const Index& i) { return Index{i[0], 2 * i[1] + i[2]}; }));
    CHECK(shares(sliding_window(x, 1, 3, 2), x));
  }
  Tensor x = uniform({4, 5}, 1);
  CHECK(moves(as_strided(x, {3, 2}, {1, 5}, 6), x, {3, 2}, [](const Index& i) {
    return Index{(6 + i[0] + 5 * i[1]) / 5, (6 + i[0] + 5 * i[1]) % 5};
  }));
  CHECK_THROWS_WITH_AS(slice(x, 0, 0, 4, 0), "slice: the step must be at least 1, it is 0", ValueError);
  CHECK_THROWS_WITH_AS(narrow(x, 0, 2, 3), "narrow: [2, 5) is outside [0, 4)", IndexError);
  CHECK_THROWS_WITH_AS(select(x, 1, 5), "select: index 5 is outside [0, 5)", IndexError);
  CHECK_THROWS_WITH_AS(diagonal(x, 0, 1, 1), "diagonal: the two dimensions are the same, 1", IndexError);
  CHECK_THROWS_WITH_AS(sliding_window(x, 1, 6, 1), "sliding_window: windows of 6 every 1 do not fit into 5", ValueError);
  CHECK_THROWS_AS(as_strided(x, {5, 5}, {5, 1}, 0), IndexError);
}

TEST_CASE("views: a write through one is seen by all") {
  Tensor x = zeros({3, 4}), row = select(x, 0, 1), corner = slice(transpose(x, 0, 1), 0, 0, 2);
  fill_(row, 5);
  CHECK(to_vector(corner) == std::vector<double>{0, 5, 0, 0, 5, 0});
  fill_(corner, 7);
  CHECK(to_vector(x) == std::vector<double>{7, 7, 0, 0, 7, 7, 5, 5, 7, 7, 0, 0});
}

TEST_CASE("clone, contiguous, to: copies, and conversions between all types") {
  for (const Tensor& x : layouts(uniform({3, 4}, 1))) {
    Tensor y = clone(x);
    CHECK(y.is_contiguous());
    CHECK_FALSE(shares(y, x));
    CHECK(error(y, Reference(x)) == 0);
    CHECK(contiguous(x).is_contiguous());
    CHECK(contiguous(x).same_as(x) == x.is_contiguous());
    CHECK(error(contiguous(x), Reference(x)) == 0);
    Reference single(x);
    for (double& v : single.values) v = static_cast<double>(static_cast<float>(v));
    CHECK(error(to(to(x, f32), f64), single) == 0);
    CHECK(to(x, f64).same_as(x));
    CHECK(to(x, cpu).same_as(x));
  }
  Tensor x = tensor({-2.7, -0.5, 0.0, 0.5, 1.0, 200.0}, f64);
  CHECK(to_vector<int64_t>(to(x, i64)) == std::vector<int64_t>{-2, 0, 0, 0, 1, 200});  // towards 0
  CHECK(to_vector<bool>(to(x, boolean)) == std::vector<bool>{true, true, false, true, true, true});
  CHECK(to_vector(to(tensor({true, false}), f16)) == std::vector<double>{1, 0});
  CHECK(to_vector(to(full({1}, 1 + 0x1p-8, f64), bf16))[0] == 1);              // a tie goes to the even neighbour
  CHECK(to_vector(to(full({1}, 1 + 3 * 0x1p-8, f64), bf16))[0] == 1 + 0x1p-6);
  CHECK(to_vector(to(full({1}, 65520.0, f64), f16))[0] == INFINITY);
  Tensor leaf = ones({2}, f32).requires_grad_();
  sum(to(leaf, f64) * 3.0).backward();
  CHECK(leaf.grad().dtype() == f32);
  CHECK(to_vector(leaf.grad()) == std::vector<double>{3, 3});
}

TEST_CASE("shapes: sizes beyond 64 bits and negative ones are refused") {
  Tensor x = zeros({4});
  CHECK_THROWS_AS(expand(ones({3}), {-1, 3}), ShapeError);
  CHECK_THROWS_AS(expand(ones({1, 3}), {-2, 3}), ShapeError);
  CHECK_THROWS_AS(narrow(x, 0, 1, INT64_MAX), IndexError);
  CHECK(slice(x, 0, 0, INT64_MAX, INT64_MAX).shape() == Shape{1});
  CHECK(slice(x, 0, 4, INT64_MAX, INT64_MAX).shape() == Shape{0});
  CHECK_THROWS_AS(reshape(zeros({0}), {int64_t{1} << 32, int64_t{1} << 32}), ShapeError);
  CHECK_THROWS_AS(as_strided(x, {3, 2}, {int64_t{1} << 62, 1}, 0), IndexError);
}
