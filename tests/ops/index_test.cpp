// Indexing: values against loops, order of repeated writes, independence of threads, errors.
#include "ops/index.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>

#include "engine/core/parallel.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "tests/ops/reference.h"

using namespace plumb;
using namespace plumb::testing;

namespace {

Index moved(Index i, int dim, double to) {
  i[static_cast<size_t>(dim)] = static_cast<int64_t>(to);
  return i;
}

Reference gathered(const Tensor& x, int dim, const Tensor& index) {
  Reference from(x), at(index), y(index.shape());
  for_each_index(index.shape(), [&](const Index& i) { y.at(i) = from.at(moved(i, dim, at.at(i))); });
  return y;
}

template <typename Join>
Reference scattered(const Tensor& x, int dim, const Tensor& index, const Tensor& src, Join&& join) {
  Reference z(x), at(index), from(src);
  for_each_index(index.shape(), [&](const Index& i) {
    double& place = z.at(moved(i, dim, at.at(i)));
    place = join(place, from.at(i));
  });
  return z;
}

struct Geometry {
  Shape x, index;
  int dim;
};
const Geometry kGeometries[] = {{{5, 7}, {5, 9}, 1}, {{5, 7}, {3, 7}, 0},     {{5, 7}, {9, 4}, 0},      {{3, 4, 6}, {2, 11, 5}, 1},
                                {{6}, {50}, 0},      {{3, 200}, {3, 200}, 0}, {{300, 70}, {500, 70}, 0}};

}  // namespace

TEST_CASE("gather and scatter: values for any dimension, strides and type") {
  for (const Geometry& g : kGeometries)
    for (DType t : {f64, bf16, i32, boolean})
      for (const Tensor& x : layouts(to(integers(g.x, 2, 1), t)))
        for (const Tensor& index : layouts(integers(g.index, g.x[g.dim], 2))) {
          INFO(to_string(g.x) << " by " << to_string(g.index) << " along " << g.dim << " in " << name(t));
          CHECK(error(gather(x, g.dim, index), gathered(x, g.dim, index)) == 0);
          Tensor src = to(integers(g.index, 2, 3), t);
          CHECK(error(scatter(x, g.dim, index, src), scattered(x, g.dim, index, src, [](double, double v) { return v; })) == 0);
          CHECK(gather(x, g.dim, to(index, i32)).dtype() == t);
        }
}

TEST_CASE("scatter_reduce: a product that is infinite or NaN stays in its place") {
  Tensor index = tensor({0, 1, 1, 2}), src = from_vector(std::vector<double>{INFINITY, 2, 3, 5});
  CHECK(to_vector(scatter_reduce(ones({3}, f64), 0, index, src, ScatterReduce::prod)) == std::vector<double>{INFINITY, 6, 5});
  Tensor y = scatter_reduce(ones({3}, f64), 0, index, from_vector(std::vector<double>{NAN, 2, 3, 5}), ScatterReduce::prod);
  CHECK(std::isnan(to_vector(y)[0]));
  CHECK(to_vector(narrow(y, 0, 1, 2)) == std::vector<double>{6, 5});
}

TEST_CASE("scatter_add and scatter_reduce: values") {
  for (const Geometry& g : kGeometries) {
    Tensor index = integers(g.index, g.x[g.dim], 4), src = uniform(g.index, 5, 0.5, 1.5);
    for (const Tensor& x : layouts(uniform(g.x, 6, 0.5, 1.5))) {
      INFO(to_string(g.x) << " by " << to_string(g.index) << " along " << g.dim);
      auto joined = [&](auto join) { return scattered(x, g.dim, index, src, join); };
      CHECK(error(scatter_add(x, g.dim, index, src), joined([](double a, double b) { return a + b; })) < 1e-13);
      CHECK(error(scatter_reduce(x, g.dim, index, src, ScatterReduce::sum), joined([](double a, double b) { return a + b; })) < 1e-13);
      CHECK(error(scatter_reduce(x, g.dim, index, src, ScatterReduce::prod), joined([](double a, double b) { return a * b; })) < 1e-12);
      CHECK(error(scatter_reduce(x, g.dim, index, src, ScatterReduce::amax), joined([](double a, double b) { return std::max(a, b); })) ==
            0);
      CHECK(error(scatter_reduce(x, g.dim, index, src, ScatterReduce::amin), joined([](double a, double b) { return std::min(a, b); })) ==
            0);
      Reference count = scattered(zeros_like(x), g.dim, index, src, [](double a, double) { return a + 1; }),
                total = joined([](double a, double b) { return a + b; });
      Reference sums = scattered(zeros_like(x), g.dim, index, src, [](double a, double b) { return a + b; }), mine(x), without = sums;
      for (size_t i = 0; i < total.values.size(); ++i) {
        total.values[i] /= count.values[i] + 1;
        without.values[i] = count.values[i] == 0 ? mine.values[i] : sums.values[i] / count.values[i];
      }
      CHECK(error(scatter_reduce(x, g.dim, index, src, ScatterReduce::mean), total) < 1e-13);
      CHECK(error(scatter_reduce(x, g.dim, index, src, ScatterReduce::mean, false), without) < 1e-13);
    }
  }
  Tensor line = tensor({10.0, 20.0, 30.0}), places = tensor({1, 1}), values = tensor({3.0, 5.0});
  CHECK(to_vector(scatter_reduce(line, 0, places, values, ScatterReduce::amin, false)) == std::vector<double>{10, 3, 30});
  CHECK(to_vector(scatter_reduce(line, 0, places, values, ScatterReduce::amax, false)) == std::vector<double>{10, 5, 30});
  CHECK(to_vector(scatter_reduce(line, 0, places, values, ScatterReduce::prod, false)) == std::vector<double>{10, 15, 30});
  CHECK(to_vector<int64_t>(scatter_reduce(tensor({1, 2}), 0, tensor({0, 0}), tensor({5, 4}), ScatterReduce::amax)) ==
        std::vector<int64_t>{5, 2});
}

TEST_CASE("scatter: the last in order stays and alone gets the gradient") {
  Tensor x = zeros({3}, f64).requires_grad_(), src = tensor({1.0, 2.0, 3.0}, f64).requires_grad_();
  Tensor y = scatter(x, 0, tensor({1, 0, 1}), src);
  CHECK(to_vector(y) == std::vector<double>{2, 3, 0});
  sum(y * y).backward();
  CHECK(to_vector(src.grad()) == std::vector<double>{0, 4, 6});
  CHECK(to_vector(x.grad()) == std::vector<double>{0, 0, 0});
}

TEST_CASE("scatter_reduce: equal largest elements share the gradient") {
  Tensor x = tensor({2.0, 9.0}, f64).requires_grad_(), src = tensor({2.0, 2.0, 1.0}, f64).requires_grad_();
  sum(scatter_reduce(x, 0, tensor({0, 0, 1}), src, ScatterReduce::amax)).backward();
  CHECK(to_vector(x.grad()) == std::vector<double>{1.0 / 3, 1});
  CHECK(to_vector(src.grad()) == std::vector<double>{1.0 / 3, 1.0 / 3, 0});
}

TEST_CASE("scatter_add: the same bits for any number of threads, few places or many") {
  int before = num_threads();
  struct Case {
    Shape x, index;
    int dim;
  };
  for (const Case& c :
       {Case{{10}, {100000}, 0}, Case{{50, 700}, {300, 700}, 0}, Case{{700, 50}, {700, 300}, 1}, Case{{30, 40}, {5000, 40}, 0}}) {
    Tensor index = integers(c.index, c.x[c.dim], 7), src = uniform(c.index, 8, -1, 1, f32), x = zeros(c.x);
    set_num_threads(1);
    Tensor alone = scatter_add(x, c.dim, index, src), last = scatter(x, c.dim, index, src);
    for (int threads : {2, 3, 8}) {
      set_num_threads(threads);
      Tensor together = scatter_add(x, c.dim, index, src);
      CHECK(std::memcmp(together.raw_data(), alone.raw_data(), static_cast<size_t>(x.numel()) * 4) == 0);
      CHECK(to_vector(scatter(x, c.dim, index, src)) == to_vector(last));
    }
  }
  set_num_threads(before);
}

TEST_CASE("scatter_add: 16-bit sums are kept in f32") {
  Tensor y = scatter_add(zeros({1}, bf16), 0, zeros({1000}, i64), full({1000}, 1.0, bf16));
  CHECK(y.item() == 1000);
  CHECK(y.dtype() == bf16);
}

TEST_CASE("index_select, index_add, index_copy, take, take_along") {
  Tensor x = uniform({4, 5, 3}, 9);
  Tensor i = tensor({2, 0, 2, 4});
  for (const Tensor& t : layouts(x)) {
    Tensor wide = expand(reshape(i, {1, 4, 1}), {4, 4, 3});
    CHECK(error(index_select(t, 1, i), gathered(t, 1, wide)) == 0);
    Tensor src = uniform({4, 4, 3}, 10);
    CHECK(error(index_add(t, 1, i, src), scattered(t, 1, wide, src, [](double a, double b) { return a + b; })) < 1e-15);
    CHECK(error(index_copy(t, 1, i, src), scattered(t, 1, wide, src, [](double, double b) { return b; })) == 0);
    CHECK(to_vector(take(t, tensor({{0, -1}, {7, 59}}))) ==
          std::vector<double>{Reference(t).values[0], Reference(t).values[59], Reference(t).values[7], Reference(t).values[59]});
  }
  Tensor best = argmax(x, 1, true);
  CHECK(to_vector(take_along(x, best, 1)) == to_vector(amax(x, {1}, true)));
  CHECK(take_along(x, tensor({{{1}, {0}}}), 1).shape() == Shape{4, 2, 3});
  CHECK(index_select(x, 0, zeros({0}, i64)).shape() == Shape{0, 5, 3});
  CHECK(gather(zeros({0, 3}), 0, zeros({0, 2}, i64)).shape() == Shape{0, 2});
}

TEST_CASE("index: tensors, masks and whole dimensions, as NumPy places them") {
  Tensor x = uniform({3, 4, 5}, 11);
  Reference r(x);
  Tensor a = tensor({{0, 2}, {-1, 1}}), b = tensor({3, -4});
  Tensor y = index(x, {a, b});
  CHECK(y.shape() == Shape{2, 2, 5});
  CHECK(y.shape() == index(x, {to(a, i32), b}).shape());
  CHECK(Reference(y).at({1, 0, 2}) == r.at({2, 3, 2}));
  CHECK(Reference(y).at({1, 1, 4}) == r.at({1, 0, 4}));
  y = index(x, {Tensor(), b});
  CHECK(y.shape() == Shape{3, 2, 5});
  CHECK(Reference(y).at({2, 1, 3}) == r.at({2, 0, 3}));
  y = index(x, {a, Tensor(), tensor({1, 2})});  // apart: the indices' shape comes first
  CHECK(y.shape() == Shape{2, 2, 4});
  CHECK(Reference(y).at({0, 1, 3}) == r.at({2, 3, 2}));
  Tensor mask = x > 0.5;
  CHECK(to_vector(index(x, {mask})) == to_vector(masked_select(x, mask)));
  Tensor rows = tensor({true, false, true});
  CHECK(to_vector(index(x, {rows})) == to_vector(index_select(x, 0, tensor({0, 2}))));
  y = index(x, {Tensor(), select(x, 0, 0) > 0});
  CHECK(y.shape() == Shape{3, count_nonzero(select(x, 0, 0) > 0).item<int64_t>()});
  CHECK(index(x, {zeros({0}, i64)}).shape() == Shape{0, 4, 5});
}

TEST_CASE("index_put: replaces or adds, the last of repeated places stays") {
  Tensor x = zeros({3, 4});
  Tensor y = index_put(x, {tensor({0, 2, 0}), tensor({1, 3, 1})}, tensor({5.0, 6.0, 7.0}));
  CHECK(to_vector(y) == std::vector<double>{0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6});
  y = index_put(x, {tensor({0, 2, 0}), tensor({1, 3, 1})}, tensor({5.0, 6.0, 7.0}), true);
  CHECK(to_vector(y) == std::vector<double>{0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6});
  y = index_put(x, {Tensor(), tensor({-1, 0})}, tensor({1.0, 2.0}));
  CHECK(to_vector(y) == std::vector<double>{2, 0, 0, 1, 2, 0, 0, 1, 2, 0, 0, 1});
  y = index_put(x, {x == 0}, scalar_tensor(3.0, f32));
  CHECK(to_vector(y) == std::vector<double>(12, 3));
  CHECK_THROWS_WITH_AS(index_put(x, {tensor({0, 1})}, zeros({3})), doctest::Contains("index_put: "), ShapeError);
}

TEST_CASE("masks: nonzero, masked_select, masked_fill, one_hot, slice_assign") {
  Tensor x = tensor({{1.0, 0.0, -2.0}, {0.0, NAN, 0.0}});
  CHECK(to_vector<int64_t>(nonzero(x)) == std::vector<int64_t>{0, 0, 0, 2, 1, 1});
  CHECK(nonzero(zeros({2, 2})).shape() == Shape{0, 2});
  CHECK(nonzero(scalar_tensor(1.0, f32)).shape() == Shape{1, 0});
  CHECK(to_vector(masked_select(tensor({1.0, 2.0}), tensor({{true, false}, {true, true}}))) == std::vector<double>{1, 1, 2});
  Tensor many = uniform({200000}, 12) , big = many > 1;
  int64_t count = 0;
  for (double v : to_vector(many)) count += v > 1;
  CHECK(masked_select(many, big).numel() == count);
  CHECK(min(masked_select(many, big)).item() > 1);
  CHECK(to_vector(masked_fill(select(x, 0, 0), select(x, 0, 0) == 0, 7)) == std::vector<double>{1, 7, -2});
  CHECK(masked_fill(tensor({1, 2}), tensor({true, false}), 9.0).dtype() == i64);
  CHECK_THROWS_WITH_AS(masked_fill(tensor({1, 2}), tensor({true, false}), 9.5),
                       "masked_fill: a fraction does not fit into a tensor of i64; convert the tensor to f32 first", DTypeError);
  CHECK(to_vector<int64_t>(one_hot(tensor({2, 0}), 4)) == std::vector<int64_t>{0, 0, 1, 0, 1, 0, 0, 0});
  CHECK(one_hot(tensor({{2, 0}})).shape() == Shape{1, 2, 3});
  CHECK(to_vector(slice_assign(zeros({4}), tensor({1.0, 2.0}), 0, 0, 4, 2)) == std::vector<double>{1, 0, 2, 0});
  CHECK(to_vector(slice_assign(zeros({2, 3}), tensor({5.0}), 1, -1)) == std::vector<double>{0, 0, 5, 0, 0, 5});
}

TEST_CASE("indexing: errors name the operation, the index and the range") {
  Tensor x = zeros({3, 4});
  CHECK_THROWS_WITH_AS(gather(x, 1, tensor({{0}, {4}})), "gather: index 4 is outside [0, 4)", IndexError);
  CHECK_THROWS_WITH_AS(gather(x, 1, tensor({{-1}})), "gather: index -1 is outside [0, 4)", IndexError);
  CHECK_THROWS_WITH_AS(gather(x, 0, tensor({1})), "gather: an index of shape [1] does not fit [3, 4] along dimension 0", ShapeError);
  CHECK_THROWS_WITH_AS(gather(x, 0, tensor({{0.5}})), "gather: the index must be i64 or i32, it is f32", DTypeError);
  CHECK_THROWS_WITH_AS(scatter_add(x, 0, tensor({{7}}), ones({1, 1})), "scatter_add: index 7 is outside [0, 3)", IndexError);
  CHECK_THROWS_WITH_AS(scatter(x, 0, tensor({{0, 1}}), ones({1, 1})), "scatter: [1, 1] has too few elements for an index of shape [1, 2]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(scatter(x, 0, tensor({{0}}), ones({1, 1}, f64)), "scatter: the tensor is f32, what is put into it f64", DTypeError);
  CHECK_THROWS_WITH_AS(index_select(x, 0, tensor({0, 3})), "index_select: index 3 is outside [0, 3)", IndexError);
  CHECK_THROWS_WITH_AS(index_add(x, 1, tensor({0}), ones({3, 2})), "index_add: the slices must be [3, 1], they are [3, 2]", ShapeError);
  CHECK_THROWS_WITH_AS(index(x, {tensor({3})}), "index: index 3 is outside [-3, 3)", IndexError);
  CHECK_THROWS_WITH_AS(index(x, {tensor({0}), tensor({0}), tensor({0})}), "index: indices for 3 dimensions, the shape is [3, 4]",
                       IndexError);
  CHECK_THROWS_WITH_AS(index(x, {tensor({true, false})}), "index: a mask [2] does not fit [3, 4] from dimension 0 on", ShapeError);
  CHECK_THROWS_WITH_AS(take(x, tensor({12})), "take: index 12 is outside [-12, 12)", IndexError);
  CHECK_THROWS_WITH_AS(one_hot(tensor({3}), 3), "one_hot: index 3 is outside [0, 3)", IndexError);
  CHECK_THROWS_WITH_AS(masked_select(x, x), "masked_select: the mask must be bool, it is f32", DTypeError);
  CHECK(to_vector(x) == std::vector<double>(12, 0));
}
