// Grouped matrix products against triple loops in double: segments of any sizes, strides, types, threads, autocast, errors.
#include "ops/grouped_matmul.h"

#include <doctest/doctest.h>

#include "engine/autograd/autocast.h"
#include "engine/autograd/backward.h"
#include "engine/core/parallel.h"
#include "ops/reduce.h"
#include "tests/ops/reference.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::testing;

namespace {

// The segment of each row.
std::vector<int64_t> segments(const Tensor& offsets) {
  std::vector<int64_t> o = to_vector<int64_t>(offsets), all;
  for (size_t e = 0; e + 1 < o.size(); ++e) all.insert(all.end(), static_cast<size_t>(o[e + 1] - o[e]), static_cast<int64_t>(e));
  return all;
}

// x [rows, k] times the matrix of each row's segment, weight [E, k, n].
Reference each_row(const Tensor& x, const Tensor& weight, const Tensor& offsets) {
  Reference a(x), b(weight), out(Shape{x.size(0), weight.size(2)});
  auto own = segments(offsets);
  for_each_index(out.shape, [&](const Index& i) {
    for (int64_t p = 0; p < x.size(1); ++p) out.at(i) += a.at({i[0], p}) * b.at({own[static_cast<size_t>(i[0])], p, i[1]});
  });
  return out;
}

// Σ of the outer products of the rows of each segment.
Reference each_segment(const Tensor& x, const Tensor& y, const Tensor& offsets) {
  Reference a(x), b(y), out(Shape{offsets.size(0) - 1, x.size(1), y.size(1)});
  auto own = segments(offsets);
  for (int64_t r = 0; r < x.size(0); ++r)
    for (int64_t i = 0; i < x.size(1); ++i)
      for (int64_t j = 0; j < y.size(1); ++j) out.at({own[static_cast<size_t>(r)], i, j}) += a.at({r, i}) * b.at({r, j});
  return out;
}

// Sums of k products of numbers in [−1, 1]; 16-bit types are summed in f32 and rounded once.
double tolerance(DType t, int64_t k) {
  double summed = static_cast<double>(k + 2) * (t == f64 ? 0x1p-53 : 0x1p-24);
  return summed + (t == bf16 ? 0x1p-8 : t == f16 ? 0x1p-11 : 0) * (1 + std::sqrt(static_cast<double>(k)));
}

struct Sizes {
  int64_t in, out;
  Tensor offsets;
  int64_t count() const { return offsets.size(0) - 1; }
  int64_t rows() const { return to_vector<int64_t>(offsets).back(); }
};

std::vector<Sizes> sizes() {
  return {{3, 4, tensor({0, 2, 2, 5})},   {4, 3, tensor({0, 0, 7, 7})}, {1, 1, tensor({0, 1})},    {17, 33, tensor({0, 40, 41, 90, 130})},
          {5, 2, tensor({0, 0, 0})},      {0, 2, tensor({0, 1, 3})},    {2, 0, tensor({0, 1, 3})}, {3, 2, tensor({0})},
          {40, 9, tensor({0, 3, 3, 700})}};
}

}  // namespace

TEST_CASE("grouped products: each segment its own matrix, for any strides, in every type") {
  for (const Sizes& s : sizes())
    for (DType t : {f64, f32, bf16, f16}) {
      Tensor x = testing::uniform({s.rows(), s.in}, 1, -1, 1, t), w = testing::uniform({s.count(), s.in, s.out}, 2, -1, 1, t);
      Tensor y = testing::uniform({s.rows(), s.out}, 3, -1, 1, t), b = testing::uniform({s.count(), s.out}, 4, -1, 1, t);
      Reference product = each_row(x, w, s.offsets), biased = product, outer = each_segment(x, y, s.offsets), shift(b),
                sums(Shape{s.count(), s.out}), rows(y);
      auto own = segments(s.offsets);
      for (size_t r = 0; r < own.size(); ++r)
        for (int64_t j = 0; j < s.out; ++j) {
          auto i = static_cast<int64_t>(r);
          biased.at({i, j}) += shift.at({own[r], j});
          sums.at({own[r], j}) += rows.at({i, j});
        }
      for (const Tensor& a : layouts(x))
        for (const Tensor& m : layouts(w)) {
          Tensor z = grouped_matmul(a, m, s.offsets);
          CHECK(z.dtype() == t);
          CHECK_MESSAGE(error(z, product) <= tolerance(t, s.in), to_string(s.offsets.shape()) << " of " << s.rows() << " in " << name(t));
          CHECK(error(grouped_linear(a, mT(m), {}, s.offsets), product) <= tolerance(t, s.in));
          CHECK(error(grouped_linear(a, mT(m), mT(clone(mT(b))), s.offsets), biased) <= tolerance(t, s.in + 1));
        }
      for (const Tensor& a : layouts(x))
        for (const Tensor& c : layouts(y)) CHECK(error(grouped_outer(a, c, s.offsets), outer) <= tolerance(t, s.rows()));
      CHECK(error(grouped_sum(y, s.offsets), sums) <= tolerance(t, s.rows()));
    }
}

TEST_CASE("grouped products: the same bits with 1, 2, 3 and 8 threads, and as one product a segment") {
  int before = num_threads();
  Tensor offsets = tensor({0, 301, 301, 310, 311, 900, 1501}), x = test::sample({1501, 65}, 1, f32), w = test::sample({6, 65, 70}, 2, f32),
         y = test::sample({1501, 70}, 3, f32);
  std::vector<Tensor> first;
  for (int threads : {1, 2, 3, 8}) {
    set_num_threads(threads);
    std::vector<Tensor> now{grouped_matmul(x, w, offsets), grouped_outer(x, y, offsets), grouped_matmul(to(x, bf16), to(w, bf16), offsets)};
    if (first.empty()) first = now;
    for (size_t i = 0; i < now.size(); ++i) CHECK(test::same_bits(now[i], first[i]));
  }
  set_num_threads(before);
  Tensor part = tensor({0, 589}), rows = slice(x, 0, 311, 900);
  CHECK(test::same_bits(grouped_matmul(rows, slice(w, 0, 4, 5), part), slice(first[0], 0, 311, 900)));
  CHECK(test::same_bits(grouped_outer(rows, slice(y, 0, 311, 900), part), slice(first[1], 0, 4, 5)));
}

TEST_CASE("grouped products: gradients of zero sizes are zero and have the right shape") {
  for (const Sizes& s : sizes()) {
    Tensor x = ones({s.rows(), s.in}).requires_grad_(), w = ones({s.count(), s.out, s.in}).requires_grad_(),
           b = ones({s.count(), s.out}).requires_grad_();
    sum(grouped_linear(x, w, b, s.offsets)).backward();
    CHECK(x.grad().shape() == x.shape());
    CHECK(w.grad().shape() == w.shape());
    std::vector<double> expected;
    std::vector<int64_t> o = to_vector<int64_t>(s.offsets);
    for (int64_t e = 0; e < s.count(); ++e)
      expected.insert(expected.end(), static_cast<size_t>(s.out),
                      static_cast<double>(o[static_cast<size_t>(e) + 1] - o[static_cast<size_t>(e)]));
    CHECK(to_vector(b.grad()) == expected);
  }
}

TEST_CASE("grouped products: under autocast f32 operands are taken in 16 bits, gradients come back in f32") {
  Tensor offsets = tensor({0, 2, 5}), x = test::sample({5, 3}, 1, f32).requires_grad_(),
         w = test::sample({2, 4, 3}, 2, f32).requires_grad_();
  Autocast cast(bf16);
  Tensor y = grouped_linear(x, w, {}, offsets);
  CHECK(y.dtype() == bf16);
  CHECK(test::same_bits(y, grouped_linear(to(x, bf16), to(w, bf16), {}, offsets)));
  sum(y).backward();
  CHECK(w.grad().dtype() == f32);
  CHECK(x.grad().dtype() == f32);
}

// dx = dy W, and W is what a second pass must find again: the gradient of Σ dx² with respect to it.
TEST_CASE("grouped products: under autocast the gradient of a gradient still knows the weight") {
  Tensor offsets = tensor({0, 2, 5}), x = test::sample({5, 3}, 1, f32).requires_grad_(),
         w = test::sample({2, 4, 3}, 2, f32).requires_grad_();
  Tensor y, plain = grouped_linear(x, w, {}, offsets);
  {
    Autocast cast(bf16);
    y = grouped_linear(x, w, {}, offsets);
  }
  auto twice = [&](const Tensor& out) {
    Tensor dx = grad({sum(to(out, f32))}, {x}, {.create_graph = true})[0];
    return grad({sum(dx * dx)}, {w})[0];
  };
  CHECK(test::difference(twice(y), twice(plain)) <= 0.1);  // of up to 48, in 8 bits
}

TEST_CASE("grouped products: what does not fit is named") {
  Tensor o = tensor({0, 2, 5});
  CHECK_THROWS_WITH_AS(grouped_matmul(zeros({5, 3}), zeros({2, 4, 3}), o),
                       "grouped_matmul: takes x [rows, in] and a weight [E, in, out], got [5, 3] and [2, 4, 3]", ShapeError);
  CHECK_THROWS_WITH_AS(grouped_linear(zeros({5, 3}), zeros({2, 3, 4}), {}, o),
                       "grouped_linear: takes x [rows, in] and a weight [E, out, in], got [5, 3] and [2, 3, 4]", ShapeError);
  CHECK_THROWS_WITH_AS(grouped_linear(zeros({5, 3}), zeros({2, 4, 3}), zeros({4}), o), "grouped_linear: the bias must be [2, 4], it is [4]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(grouped_outer(zeros({5, 3}), zeros({4, 3}), o),
                       "grouped_outer: takes a [rows, m] and b [rows, n], got [5, 3] and [4, 3]", ShapeError);
  CHECK_THROWS_WITH_AS(grouped_outer(zeros({5, 3}), zeros({5, 3}), zeros({}, i64)),
                       "grouped_outer: offsets must be a vector of at least one element, their shape is []", ShapeError);
  CHECK_THROWS_WITH_AS(grouped_sum(zeros({5}), o), "grouped_sum: takes x [rows, n], got [5]", ShapeError);
  Tensor x = zeros({5, 3}), w = zeros({2, 3, 4});
  CHECK_THROWS_WITH_AS(grouped_matmul(x, w, tensor({0, 5})), "grouped_matmul: 2 segments need offsets [3], got [2]", ShapeError);
  CHECK_THROWS_WITH_AS(grouped_matmul(x, w, tensor({1, 2, 5})), "grouped_matmul: offsets begin with 1, not 0", IndexError);
  CHECK_THROWS_WITH_AS(grouped_matmul(x, w, tensor({0, 6, 5})), "grouped_matmul: offsets fall from 6 to 5 at segment 1", IndexError);
  CHECK_THROWS_WITH_AS(grouped_matmul(x, w, tensor({0, 2, 4})), "grouped_matmul: offsets end with 4, the rows are 5", IndexError);
  CHECK_THROWS_WITH_AS(grouped_matmul(x, w, to(o, i32)), "grouped_matmul: offsets must be i64, not i32", DTypeError);
  CHECK_THROWS_WITH_AS(grouped_matmul(x, to(w, f64), o), "grouped_matmul: takes two floating tensors of one type, got f32 and f64",
                       DTypeError);
}
