// Joining, splitting, repeating, turning, padding and sequences: values, views, errors.
#include "ops/join.h"

#include <doctest/doctest.h>

#include "ops/create.h"
#include "ops/fft.h"
#include "ops/pad.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/scan.h"
#include "ops/vision.h"
#include "tests/ops/reference.h"

using namespace plumb;
using namespace plumb::testing;

using Numbers = std::vector<double>;

TEST_CASE("cat and stack: values for any strides, types promoted, sizes of 0") {
  for (const Tensor& a : layouts(uniform({2, 3, 4}, 1)))
    for (int dim = 0; dim < 3; ++dim) {
      Tensor b = uniform({2, 3, 4}, 2), joined = cat({a, b, a}, dim), piled = stack({a, b}, dim);
      Reference ra(a), rb(b), expected(joined.shape()), pile(piled.shape());
      CHECK(joined.size(dim) == 3 * a.size(dim));
      auto d = static_cast<size_t>(dim);
      for_each_index(joined.shape(), [&](const Index& i) {
        Index j = i;
        j[d] %= a.size(dim);
        expected.at(i) = (i[d] / a.size(dim) == 1 ? rb : ra).at(j);
      });
      for_each_index(piled.shape(), [&](const Index& i) {
        Index j = i;
        j.erase(j.begin() + dim);
        pile.at(i) = (i[d] == 1 ? rb : ra).at(j);
      });
      CHECK(error(joined, expected) == 0);
      CHECK(error(piled, pile) == 0);
    }
  CHECK(cat({tensor({1, 2}), tensor({0.5})}).dtype() == f32);
  CHECK(to_vector(cat({zeros({2, 0}), ones({2, 1})}, -1)) == Numbers{1, 1});
  CHECK(stack({scalar_tensor(1, i64), scalar_tensor(2, i64)}).shape() == Shape{2});
  CHECK_THROWS_WITH_AS(cat({zeros({2, 3}), zeros({2, 4})}), "cat: [2, 4] does not continue [2, 3] along dimension 0", ShapeError);
  CHECK_THROWS_WITH_AS(cat({}), "cat: there is nothing to join", ValueError);
  CHECK_THROWS_WITH_AS(cat({scalar_tensor(1, i64)}), "cat: tensors of rank 0 have no dimension to join along; stack them", ShapeError);
  CHECK_THROWS_WITH_AS(stack({zeros({2}), zeros({3})}), "stack: the shapes differ: [2] and [3]", ShapeError);
}

TEST_CASE("split, chunk and unbind: views that share memory") {
  Tensor x = uniform({7, 4}, 3);
  auto parts = split(x, 3);
  REQUIRE(parts.size() == 3);
  CHECK(parts[2].shape() == Shape{1, 4});
  fill_(parts[1], 9);
  CHECK(Reference(x).at({3, 0}) == 9);
  CHECK(to_vector(cat(split(x, std::vector<int64_t>{4, 0, 3}))) == to_vector(x));
  CHECK(chunk(x, 3, 0)[2].shape() == Shape{1, 4});
  CHECK(chunk(x, 2, 1)[1].shape() == Shape{7, 2});
  CHECK(chunk(zeros({2}), 5).size() == 2);
  CHECK(split(zeros({0, 2}), 3).size() == 1);
  auto columns = unbind(x, 1);
  CHECK(columns.size() == 4);
  CHECK(to_vector(stack(columns, 1)) == to_vector(x));
  CHECK(unbind(zeros({0, 2})).empty());
  CHECK_THROWS_WITH_AS(split(x, std::vector<int64_t>{3, 3}), "split: sizes that add up to 6 do not divide [7, 4] along dimension 0",
                       ShapeError);
  CHECK_THROWS_WITH_AS(split(x, 0), "split: the size must be at least 1, it is 0", ValueError);
  CHECK_THROWS_AS(chunk(x, 0), ValueError);
}

TEST_CASE("a write to one part of a split reaches the gradient of the whole") {
  Tensor x = tensor({1.0, 2.0, 3.0, 4.0}, f64).requires_grad_(), y = x * 1.0;
  auto parts = split(y, 2);
  mul_(parts[0], 5.0);
  sum(y * y).backward();
  CHECK(to_vector(x.grad()) == Numbers{50, 100, 6, 8});
}

TEST_CASE("repeat, tile, repeat_interleave") {
  Tensor x = tensor({{1, 2}, {3, 4}});
  CHECK(to_vector(repeat(x, {1, 2})) == Numbers{1, 2, 1, 2, 3, 4, 3, 4});
  CHECK(to_vector(repeat(x, {2, 1})) == Numbers{1, 2, 3, 4, 1, 2, 3, 4});
  CHECK(repeat(x, {3, 1, 2}).shape() == Shape{3, 2, 4});
  CHECK(repeat(uniform({2, 2, 2, 2, 2, 2}, 4), {2, 2, 2, 2, 2, 2}).shape() == Shape{4, 4, 4, 4, 4, 4});
  CHECK(repeat(x, {0, 1}).shape() == Shape{0, 2});
  CHECK(repeat(x, {2, 2}).is_contiguous());
  CHECK(to_vector(tile(x, {2})) == Numbers{1, 2, 1, 2, 3, 4, 3, 4});
  CHECK(to_vector(repeat_interleave(x, 2, 0)) == Numbers{1, 2, 1, 2, 3, 4, 3, 4});
  CHECK(to_vector(repeat_interleave(x, 2, -1)) == Numbers{1, 1, 2, 2, 3, 3, 4, 4});
  CHECK(to_vector(repeat_interleave(x, tensor({0, 3}), 0)) == Numbers{3, 4, 3, 4, 3, 4});
  CHECK_THROWS_WITH_AS(repeat(x, {2}), "repeat: 1 numbers for the 2 dimensions of [2, 2]", ShapeError);
  CHECK_THROWS_AS(repeat(x, {1, -1}), ValueError);
  CHECK_THROWS_WITH_AS(repeat_interleave(x, tensor({1}), 0), "repeat_interleave: needs 2 integers, got i64 [1]", ShapeError);
}

TEST_CASE("roll, flip, rot90") {
  Tensor x = reshape(arange(6), {2, 3});
  CHECK(to_vector(roll(x, {1}, {1})) == Numbers{2, 0, 1, 5, 3, 4});
  CHECK(to_vector(roll(x, {-4, 3}, {1, 0})) == Numbers{4, 5, 3, 1, 2, 0});
  CHECK(to_vector(roll(x, -1)) == Numbers{1, 2, 3, 4, 5, 0});
  CHECK(roll(zeros({0}), 3).numel() == 0);
  CHECK(to_vector(flip(x, {0})) == Numbers{3, 4, 5, 0, 1, 2});
  CHECK(to_vector(flip(mT(x), {0, 1})) == Numbers{5, 2, 4, 1, 3, 0});
  CHECK(to_vector(rot90(x)) == Numbers{2, 5, 1, 4, 0, 3});
  CHECK(to_vector(rot90(x, -1)) == Numbers{3, 0, 4, 1, 5, 2});
  CHECK(to_vector(rot90(rot90(x), 3)) == to_vector(x));
  Tensor plane = uniform({40, 50}, 5);
  CHECK(to_vector(flip(flip(mT(plane), {1}), {1})) == to_vector(mT(plane)));
  CHECK_THROWS_WITH_AS(flip(x, {0, -2}), "flip: dimension 0 is given twice", IndexError);
  CHECK_THROWS_AS(roll(x, {1, 2}, {0}), ValueError);
  CHECK_THROWS_AS(rot90(x, 1, 1, -1), IndexError);
}

TEST_CASE("what repeats, turns, pads or runs over elements owns its result, also where nothing has to move") {
  Tensor x = reshape(arange(6.0), {2, 3}), one = tensor({5.0}), number = scalar_tensor(7.0, f32);
  for (const Tensor& y :
       {roll(x, {0}, {0}), roll(x, {3, 2}, {1, 0}), roll(x, 6), roll(x, std::vector<int64_t>{}, std::vector<int>{}), rot90(x, 0),
        rot90(x, -4), repeat(x, {1, 1}), tile(x, {1}), repeat_interleave(x, 1, 0), repeat_interleave(slice(x, 0, 0, 1), 2, 0),
        pad(x, {0, 0}), pad(x, {-1, 0}), pad(x, {0, -1, -1, 0}, PadMode::reflect), pixel_shuffle(unsqueeze(x, 0), 1),
        pixel_unshuffle(unsqueeze(x, 0), 1), channel_shuffle(x, 1), fftshift(tensor({{1.0}}), {0})}) {
    Tensor before = clone(x), written = y;
    fill_(written, -1);  // no overlap either
    CHECK(to_vector(x) == to_vector(before));
  }
  for (Tensor y :
       {repeat_interleave(one, 1, 0), repeat_interleave(one, 3, 0), repeat(one, {1}), roll(one, 4), fftshift(one), ifftshift(one)}) {
    CHECK(to_vector(y) == Numbers(static_cast<size_t>(y.numel()), 5));
    fill_(y, -1);
    CHECK(one.item() == 5);
  }
  for (Tensor y :
       {cumprod(number, 0), cumsum(number, 0), roll(number, 1), fftshift(number), rot90(reshape(number, {1, 1}), 0), repeat(number, {})}) {
    fill_(y, -1);
    CHECK(number.item() == 7);
  }
}

TEST_CASE("pad: every mode against its rule, one to three dimensions") {
  auto source = [](int64_t i, int64_t n, PadMode mode) {  // where an element outside comes from
    if (mode == PadMode::replicate) return std::clamp<int64_t>(i, 0, n - 1);
    if (mode == PadMode::circular) return (i % n + n) % n;
    if (i < 0) return -i;
    return i < n ? i : 2 * (n - 1) - i;
  };
  const std::vector<int64_t> paddings[] = {{2, 1}, {0, 3, 1, 0}, {1, 2, 2, 2, 1, 0}};
  for (PadMode mode : {PadMode::reflect, PadMode::replicate, PadMode::circular, PadMode::constant})
    for (const auto& padding : paddings)
      for (const Tensor& x : layouts(uniform({2, 3, 4, 5}, 6))) {
        Tensor y = pad(x, padding, mode, 7);
        Shape shape = x.shape();
        for (size_t i = 0; i < padding.size(); ++i) shape[3 - static_cast<int>(i / 2)] += padding[i];
        REQUIRE(y.shape() == shape);
        Reference from(x), expected(shape);
        for_each_index(shape, [&](const Index& i) {
          Index j = i;
          bool outside = false;
          for (size_t k = 0; k < padding.size(); k += 2) {
            auto d = 3 - k / 2;
            j[d] -= padding[k];
            int64_t n = x.shape()[static_cast<int>(d)];
            outside = outside || j[d] < 0 || j[d] >= n;
            if (mode != PadMode::constant) j[d] = source(j[d], n, mode);
          }
          expected.at(i) = mode == PadMode::constant && outside ? 7 : from.at(j);
        });
        CHECK(error(y, expected) == 0);
      }
  CHECK(to_vector(pad(arange(5), {-1, 2})) == Numbers{1, 2, 3, 4, 0, 0});
  CHECK(to_vector(pad(arange(5), {-2, -2})) == Numbers{2});
  CHECK(pad(arange(3), {1, 1}).dtype() == i64);
  CHECK(pad(zeros({2, 0}), {1, 1}).shape() == Shape{2, 2});
  CHECK_THROWS_WITH_AS(pad(zeros({3}), {1}), "pad: takes pairs of numbers, got 1", Error);
  CHECK_THROWS_WITH_AS(pad(zeros({3}), {3, 0}, PadMode::reflect),
                       "pad: reflect padding (3, 0) needs a larger dimension 0: the input is [3]", Error);
  CHECK_THROWS_WITH_AS(pad(zeros({3}), {0, 4}, PadMode::circular),
                       "pad: circular padding (0, 4) needs a larger dimension 0: the input is [3]", Error);
  CHECK_THROWS_WITH_AS(pad(zeros({3}), {-2, -2}), "pad: (-2, -2) cuts off more than dimension 0 of [3] has", Error);
}

TEST_CASE("arange, linspace, eye") {
  CHECK(to_vector<int64_t>(arange(3)) == std::vector<int64_t>{0, 1, 2});
  CHECK(arange(3).dtype() == i64);
  CHECK(arange(3.0).dtype() == f32);
  CHECK(to_vector(arange(5, 0, -2)) == Numbers{5, 3, 1});
  CHECK(to_vector(arange(0, 1, 0.25)) == Numbers{0, 0.25, 0.5, 0.75});
  CHECK(arange(2, 2).numel() == 0);
  CHECK(arange(int64_t{1} << 60, (int64_t{1} << 60) + 2).numel() == 2);
  CHECK(arange(4, u8).dtype() == u8);
  Tensor long_one = arange(0, 100, 0.1, f64);
  CHECK(long_one.numel() == 1000);
  CHECK(Reference(long_one).values[999] == 999 * 0.1);
  CHECK_THROWS_WITH_AS(arange(0, 5, -1), doctest::Contains("arange: steps of -1"), ValueError);
  CHECK_THROWS_AS(arange(0, 5, 0), ValueError);
  CHECK(to_vector(linspace(-1, 1, 5)) == Numbers{-1, -0.5, 0, 0.5, 1});
  CHECK(Reference(linspace(0, 0.7, 11, f64)).values[10] == 0.7);
  CHECK(linspace(3, 4, 1).item() == 3);
  CHECK(linspace(3, 4, 0).numel() == 0);
  CHECK_THROWS_AS(linspace(0, 1, -1), ValueError);
  CHECK(to_vector(eye(2, 3)) == Numbers{1, 0, 0, 0, 1, 0});
  CHECK(eye(2, -1, f64).shape() == Shape{2, 2});
}

TEST_CASE("triangles, diagonals, grids") {
  Tensor x = uniform({2, 4, 3}, 7);
  for (const Tensor& t : layouts(x))
    for (int64_t diagonal : {-5, -1, 0, 2, 4}) {
      Reference low(t), high(t);
      for_each_index(t.shape(), [&](const Index& i) {
        if (i[2] - i[1] > diagonal) low.at(i) = 0;
        if (i[2] - i[1] < diagonal) high.at(i) = 0;
      });
      CHECK(error(tril(t, diagonal), low) == 0);
      CHECK(error(triu(t, diagonal), high) == 0);
    }
  CHECK(tril(ones({2, 2}, boolean)).dtype() == boolean);
  CHECK(to_vector<bool>(tril_mask(2, 3)) == std::vector<bool>{true, false, false, true, true, false});
  CHECK(to_vector(diag(tensor({1, 2}), 1)) == Numbers{0, 1, 0, 0, 0, 2, 0, 0, 0});
  CHECK(to_vector(diag(reshape(arange(6), {2, 3}), -1)) == Numbers{3});
  CHECK(diag_embed(x, 0, 0, 2).shape() == Shape{3, 2, 3, 4});
  CHECK(to_vector(diagonal(diag_embed(x, -2), -2)) == to_vector(x));
  auto g = meshgrid({arange(2), arange(3)});
  CHECK(to_vector(g[0] * 10 + g[1]) == Numbers{0, 1, 2, 10, 11, 12});
  g = meshgrid({arange(2), arange(3)}, "xy");
  CHECK(to_vector(g[0] * 10 + g[1]) == Numbers{0, 10, 1, 11, 2, 12});
  CHECK_THROWS_WITH_AS(meshgrid({arange(2)}, "ji"), "meshgrid: the indexing is \"ij\" or \"xy\", not \"ji\"", ValueError);
  CHECK_THROWS_WITH_AS(tril(arange(2)), "tril: needs two dimensions, the shape is [2]", ShapeError);
  CHECK_THROWS_AS(diag(x), ShapeError);
}
