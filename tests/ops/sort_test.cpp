// Sorting, selecting and searching: order, stability, NaN, places, counts, errors.
#include "ops/sort.h"

#include <doctest/doctest.h>

#include <numeric>

#include "engine/core/parallel.h"
#include "ops/pointwise.h"
#include "tests/ops/reference.h"

using namespace plumb;
using namespace plumb::testing;

namespace {

// NaN after everything, in either direction.
bool before(double a, double b, bool descending) {
  if (std::isnan(a) || std::isnan(b)) return !std::isnan(a) && std::isnan(b);
  return descending ? a > b : a < b;
}

// The first k places of every line along dim in stable order.
bool ordered_right(const Tensor& x, int dim, bool descending, const ValuesAndIndices& got) {
  Reference from(x), values(got.values), places(got.indices);
  Shape lines = x.shape();
  lines[dim] = 1;
  bool right = true;
  for_each_index(lines, [&](Index i) {
    auto d = static_cast<size_t>(dim);
    auto at = [&](Reference& r, int64_t k) -> double& {
      i[d] = k;
      return r.at(i);
    };
    std::vector<int64_t> order(static_cast<size_t>(x.shape()[dim]));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return before(at(from, a), at(from, b), descending); });
    for (int64_t k = 0; k < got.values.shape()[dim]; ++k) {
      double expected = at(from, order[static_cast<size_t>(k)]), value = at(values, k);
      right = right && at(places, k) == static_cast<double>(order[static_cast<size_t>(k)]) &&
              (value == expected || (std::isnan(value) && std::isnan(expected)));
    }
  });
  return right;
}

Tensor with_specials(Tensor x) {
  Tensor flat = reshape(x, {x.numel()});
  const double specials[] = {NAN, INFINITY, -INFINITY, 0.0, -0.0, NAN};
  for (int64_t i = 0; i < 6; ++i) {
    Tensor place = select(flat, 0, (i * 37 + 5) % x.numel());
    fill_(place, specials[i]);
  }
  return x;
}

}  // namespace

TEST_CASE("sort: stable order of every type, along any dimension, for any strides") {
  for (const Shape& shape : {Shape{4, 70, 5}, Shape{1500, 3}, Shape{3, 1300}, Shape{1}})
    for (int dim = 0; dim < shape.rank(); ++dim)
      for (DType t : {f64, f32, bf16, f16, i64, i32, u8}) {
        Tensor values = is_floating(t) ? uniform(shape, 1, -4, 4, t) : to(integers(shape, 200, 1) - (t == u8 ? 0 : 100), t);
        if (t == f64 || t == bf16) values = to(floor_divide(values, scalar_tensor(1.0, t)), t);  // many equal ones
        if (is_floating(t) && values.numel() > 200) values = with_specials(values);
        for (const Tensor& x : layouts(values))
          for (bool descending : {false, true}) {
            auto got = sort(x, dim, descending);
            CHECK(got.values.dtype() == t);
            CHECK_MESSAGE(ordered_right(x, dim, descending, got),
                          to_string(shape) << " along " << dim << " in " << name(t) << (descending ? " descending" : ""));
          }
      }
}

TEST_CASE("sort: a long row, the same for any number of threads") {
  int threads_before = num_threads();
  Tensor x = with_specials(uniform({300007}, 2, -1, 1, f32));
  set_num_threads(1);
  auto alone = sort(x);
  CHECK(ordered_right(x, 0, false, alone));
  for (int threads : {2, 3, 8}) {
    set_num_threads(threads);
    auto together = sort(x);
    CHECK(to_vector<int64_t>(together.indices) == to_vector<int64_t>(alone.indices));
    CHECK(ordered_right(x, 0, true, sort(x, 0, true)));
    CHECK(ordered_right(x, 0, false, sort(to(x, f64))));
  }
  set_num_threads(threads_before);
}

TEST_CASE("sort: extreme integers, bools, a single number, nothing") {
  Tensor i = tensor({INT64_MAX, int64_t{0}, INT64_MIN, int64_t{-1}});
  CHECK(to_vector<int64_t>(sort(i).values) == std::vector<int64_t>{INT64_MIN, -1, 0, INT64_MAX});
  CHECK(to_vector<int64_t>(argsort(i, 0, true)) == std::vector<int64_t>{0, 1, 3, 2});
  auto b = sort(tensor({true, false, true, false}));
  CHECK(b.values.dtype() == boolean);
  CHECK(to_vector<int64_t>(b.indices) == std::vector<int64_t>{1, 3, 0, 2});
  CHECK(sort(scalar_tensor(2.0, f32)).indices.item<int64_t>() == 0);
  CHECK(sort(zeros({0})).values.shape() == Shape{0});
  CHECK(sort(zeros({0, 3}), 1).values.shape() == Shape{0, 3});
  CHECK(sort(zeros({3, 0}), 1).indices.shape() == Shape{3, 0});
}

TEST_CASE("topk: the head of the sorted order") {
  for (const Shape& shape : {Shape{6, 1000}, Shape{40, 7}, Shape{2000, 2}})
    for (int dim = 0; dim < 2; ++dim)
      for (DType t : {f32, bf16, i64}) {
        Tensor x = t == i64 ? integers(shape, 50, 3) : with_specials(uniform(shape, 3, -4, 4, t));
        for (int64_t k : {int64_t{1}, int64_t{2}, std::min<int64_t>(300, shape[dim]), shape[dim]}) {
          if (k > shape[dim]) continue;
          CHECK(ordered_right(x, dim, true, topk(x, k, dim)));
          CHECK(ordered_right(x, dim, false, topk(x, k, dim, false)));
        }
      }
  auto [values, places] = topk(tensor({{5.0, 1.0, 7.0, 6.0}, {1.0, NAN, 3.0, 2.0}}), 3, 1, true, false);  // in place
  CHECK(to_vector(values) == std::vector<double>{5, 7, 6, 1, 3, 2});
  CHECK(to_vector<int64_t>(places) == std::vector<int64_t>{0, 2, 3, 0, 2, 3});
  CHECK(to_vector<int64_t>(topk(tensor({4, 1, 3, 2}), 2, 0, false, false).indices) == std::vector<int64_t>{1, 3});
  CHECK(topk(scalar_tensor(3.0, f32), 1, 0, true, false).values.item() == 3);
  CHECK(topk(zeros({3, 4}), 0, 1, true, false).values.shape() == Shape{3, 0});
  CHECK(topk(zeros({3, 4}), 0).values.shape() == Shape{3, 0});
  CHECK_THROWS_WITH_AS(topk(zeros({3, 4}), 5), "topk: k = 5 is outside [0, 4]", ValueError);
  CHECK_THROWS_AS(topk(zeros({3, 4}), 1, 2), IndexError);
}

TEST_CASE("kthvalue and median") {
  Tensor x = tensor({{4.0, 1.0, 3.0, 2.0}, {7.0, NAN, 5.0, 6.0}});
  CHECK(to_vector(kthvalue(slice(x, 0, 0, 1), 2).values) == std::vector<double>{2});
  CHECK(kthvalue(slice(x, 0, 0, 1), 2).indices.item<int64_t>() == 3);
  CHECK(kthvalue(x, 4, 1, true).values.shape() == Shape{2, 1});
  auto m = median(x, 1);
  CHECK(to_vector(m.values)[0] == 2);  // the lower of the two in the middle
  CHECK(std::isnan(to_vector(m.values)[1]));
  CHECK(to_vector<int64_t>(m.indices) == std::vector<int64_t>{3, 1});
  CHECK(median(tensor({3, 9, 1})).item<int64_t>() == 3);
  CHECK(median(x, 0, true).values.shape() == Shape{1, 4});
  CHECK_THROWS_WITH_AS(kthvalue(x, 0), "kthvalue: k = 0 is outside [1, 4]", ValueError);
  CHECK_THROWS_WITH_AS(median(zeros({2, 0}), 1), "median: there is nothing to choose from along dimension 1 of [2, 0]", ValueError);
}

TEST_CASE("quantile: linear interpolation over any dimensions") {
  Tensor x = uniform({3, 5, 4}, 4);
  for (const Tensor& t : layouts(x))
    for (double q : {0.0, 0.25, 0.5, 0.37, 1.0}) {
      Reference from(t), expected(Shape{1, 5, 1});
      for (int64_t j = 0; j < 5; ++j) {
        std::vector<double> v;
        for (int64_t i = 0; i < 3; ++i)
          for (int64_t k = 0; k < 4; ++k) v.push_back(from.at({i, j, k}));
        std::sort(v.begin(), v.end());
        double h = q * 11;
        auto low = static_cast<size_t>(h);
        expected.values[static_cast<size_t>(j)] = low == 11 ? v[11] : v[low] + (h - static_cast<double>(low)) * (v[low + 1] - v[low]);
      }
      CHECK(error(quantile(t, q, {0, 2}, true), expected) < 1e-14);
    }
  CHECK(quantile(x, {0.1, 0.5}, {1}).shape() == Shape{2, 3, 4});
  CHECK(quantile(x, 0.5).shape() == Shape{});
  CHECK(quantile(tensor({3.0}), 0.7).item() == doctest::Approx(3));
  CHECK(std::isnan(quantile(tensor({1.0, NAN, 2.0}), 0.0).item()));
  CHECK(quantile(tensor({-INFINITY, 1.0, 2.0}), 0.5).item() == 1);
  CHECK_THROWS_WITH_AS(quantile(x, 1.5), "quantile: q = 1.5 is outside [0, 1]", ValueError);
  CHECK_THROWS_AS(quantile(zeros({0}), 0.5), ValueError);
  CHECK_THROWS_WITH_AS(quantile(tensor({1, 2}), 0.5), "quantile: takes floating tensors, not i64", DTypeError);
}

TEST_CASE("unique: values, where they went, how often") {
  Tensor x = tensor({{5, 1, 5}, {3, 1, 5}});
  Unique u = unique(x);
  CHECK(to_vector<int64_t>(u.values) == std::vector<int64_t>{1, 3, 5});
  CHECK(to_vector<int64_t>(u.inverse) == std::vector<int64_t>{2, 0, 2, 1, 0, 2});
  CHECK(u.inverse.shape() == x.shape());
  CHECK(to_vector<int64_t>(u.counts) == std::vector<int64_t>{2, 1, 3});
  CHECK(unique(tensor({0.5, NAN, 0.5, NAN})).values.numel() == 3);
  CHECK(unique(zeros({0})).values.numel() == 0);
  CHECK(unique(tensor({7.0})).counts.item<int64_t>() == 1);
}

TEST_CASE("searchsorted: shared and own rows, both sides, NaN") {
  Tensor sorted = tensor({1.0, 3.0, 3.0, 7.0});
  Tensor wanted = tensor({{0.0, 3.0}, {8.0, NAN}});
  CHECK(to_vector<int64_t>(searchsorted(sorted, wanted)) == std::vector<int64_t>{0, 1, 4, 4});
  CHECK(to_vector<int64_t>(searchsorted(sorted, wanted, true)) == std::vector<int64_t>{0, 3, 4, 4});
  Tensor rows = tensor({{1, 5}, {2, 3}});
  CHECK(to_vector<int64_t>(searchsorted(rows, tensor({{5, 0, 9}, {3, 2, 1}}))) == std::vector<int64_t>{1, 0, 2, 1, 0, 0});
  CHECK(searchsorted(rows, tensor({{2.5}, {2.5}})).shape() == Shape{2, 1});
  CHECK(to_vector<int64_t>(searchsorted(rows, tensor({{2.5}, {2.5}}))) == std::vector<int64_t>{1, 1});
  CHECK_THROWS_WITH_AS(searchsorted(rows, tensor({1.0})), "searchsorted: [1] cannot be looked up in [2, 2]", ShapeError);
}

TEST_CASE("bincount and histc") {
  Tensor x = tensor({1, 4, 1, 0});
  CHECK(to_vector<int64_t>(bincount(x)) == std::vector<int64_t>{1, 2, 0, 0, 1});
  CHECK(bincount(x, {}, 8).numel() == 8);
  Tensor w = tensor({0.5, 2.0, 0.25, 1.0}, f64).requires_grad_();
  Tensor y = bincount(to(x, i32), w);
  CHECK(to_vector(y) == std::vector<double>{1, 0.75, 0, 0, 2});
  sum(y * y).backward();
  CHECK(to_vector(w.grad()) == std::vector<double>{1.5, 4, 1.5, 2});
  CHECK(bincount(zeros({0}, i64), {}, 2).numel() == 2);
  CHECK_THROWS_WITH_AS(bincount(tensor({2, -1})), doctest::Contains("bincount: index -1 is outside [0, "), IndexError);
  CHECK_THROWS_WITH_AS(bincount(tensor({1.0})), "bincount: takes integers, not f32", DTypeError);
  CHECK_THROWS_WITH_AS(bincount(x, tensor({1.0})), "bincount: [1] weights for [4]", ShapeError);
  CHECK(to_vector(histc(tensor({0.0, 0.5, 1.0, 2.0, 1.999, -1.0, NAN}), 4, 0, 2)) == std::vector<double>{1, 1, 1, 2});
  CHECK_THROWS_AS(histc(x, 0, 0, 1), ValueError);
}

TEST_CASE("quantile: between two that are equal it is theirs, infinite ones too") {
  Tensor x = full({3}, -INFINITY);
  CHECK(quantile(x, 0.3).item() == -INFINITY);
}
