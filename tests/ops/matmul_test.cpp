// Matrix products against triple loops in double: every combination of ranks, broadcasting, strides, types, sizes of zero, errors.
#include "ops/matmul.h"

#include <doctest/doctest.h>

#include "ops/reduce.h"
#include "tests/ops/reference.h"

using namespace plumb;
using namespace plumb::testing;

namespace {

// [.., m, k] · [.., k, n] with broadcast batches, for ranks ≥ 2.
Reference product(const Tensor& x, const Tensor& y) {
  Reference a(x), b(y);
  Shape batch = broadcast_shapes("test", x.shape().slice(0, x.rank() - 2), y.shape().slice(0, y.rank() - 2)), shape = batch;
  int64_t m = x.size(-2), k = x.size(-1), n = y.size(-1);
  shape.push_back(m);
  shape.push_back(n);
  Reference out(shape);
  auto place = [&](const Reference& r, const Index& i, int64_t row, int64_t column) {
    Index own;
    int lead = r.shape.rank() - 2;
    for (int d = 0; d < lead; ++d) own.push_back(r.shape[d] == 1 ? 0 : i[static_cast<size_t>(batch.rank() - lead + d)]);
    own.push_back(row);
    own.push_back(column);
    return own;
  };
  for_each_index(shape, [&](const Index& i) {
    int64_t row = i[i.size() - 2], column = i.back();
    for (int64_t p = 0; p < k; ++p) out.at(i) += a.at(place(a, i, row, p)) * b.at(place(b, i, p, column));
  });
  return out;
}

// Products of numbers in [−1, 1] over k terms; 16-bit types are summed in f32 and rounded once.
double tolerance(DType t, int64_t k) {
  double summed = static_cast<double>(k + 2) * (t == f64 ? 0x1p-53 : 0x1p-24);
  return summed + (t == bf16 ? 0x1p-8 : t == f16 ? 0x1p-11 : 0) * (1 + std::sqrt(static_cast<double>(k)));
}

Tensor draw(const Shape& s, uint64_t seed, DType t) { return uniform(s, seed, -1, 1, t); }

}  // namespace

TEST_CASE("matmul: matrices and batches, for any strides, in every type") {
  struct Pair {
    Shape a, b;
  };
  for (const Pair& s : {Pair{{3, 4}, {4, 5}}, Pair{{1, 1}, {1, 1}}, Pair{{17, 33}, {33, 9}}, Pair{{2, 3, 4}, {4, 5}},
                        Pair{{3, 4}, {2, 4, 5}}, Pair{{2, 1, 3, 4}, {5, 4, 2}}, Pair{{2, 5, 3, 4}, {2, 5, 4, 2}}, Pair{{64, 70}, {70, 65}},
                        Pair{{0, 3}, {3, 2}}, Pair{{3, 0}, {0, 2}}, Pair{{2, 0, 3}, {3, 4}}, Pair{{0, 3, 4}, {0, 4, 2}}})
    for (DType t : {f64, f32, bf16, f16}) {
      Tensor a = draw(s.a, 1, t), b = draw(s.b, 2, t);
      Reference expected = product(a, b);
      for (const Tensor& x : layouts(a))
        for (const Tensor& y : layouts(b)) {
          Tensor z = matmul(x, y);
          CHECK(z.dtype() == t);
          CHECK_MESSAGE(error(z, expected) <= tolerance(t, a.size(-1)), to_string(s.a) << " · " << to_string(s.b) << " in " << name(t));
        }
    }
}

TEST_CASE("matmul: vectors are rows on the left and columns on the right") {
  for (DType t : {f64, f32, bf16, f16}) {
    Tensor v = draw({4}, 1, t), m = draw({4, 3}, 2, t), batch = draw({2, 4, 3}, 3, t), w = draw({3}, 4, t);
    auto flat = [](Reference r, const Shape& s) {
      r.shape = s;
      return r;
    };
    CHECK(error(matmul(v, m), flat(product(unsqueeze(v, 0), m), {3})) <= tolerance(t, 4));
    CHECK(error(matmul(m, w), flat(product(m, unsqueeze(w, 1)), {4})) <= tolerance(t, 4));
    CHECK(error(matmul(v, batch), flat(product(unsqueeze(v, 0), batch), {2, 3})) <= tolerance(t, 4));
    CHECK(error(matmul(batch, w), flat(product(batch, unsqueeze(w, 1)), {2, 4})) <= tolerance(t, 4));
    Reference inner = flat(product(unsqueeze(v, 0), unsqueeze(v, 1)), {});
    CHECK(error(matmul(v, v), inner) <= tolerance(t, 4));
    CHECK(error(dot(v, v), inner) <= tolerance(t, 4));
    CHECK(error(outer(v, w), product(unsqueeze(v, 1), unsqueeze(w, 0))) <= tolerance(t, 1));
    CHECK(error(bmm(batch, permute(batch, {0, 2, 1})), product(batch, permute(batch, {0, 2, 1}))) <= tolerance(t, 4));
  }
  CHECK(matmul(zeros({0}), zeros({0})).item() == 0);
  CHECK(outer(zeros({2}), zeros({0})).shape() == Shape{2, 0});
}

TEST_CASE("linear: x · weightᵀ + bias for any rank of x") {
  for (DType t : {f64, f32, bf16, f16})
    for (const Shape& s : {Shape{5}, Shape{3, 5}, Shape{2, 3, 5}, Shape{0, 5}}) {
      Tensor x = draw(s, 1, t), w = draw({4, 5}, 2, t), b = draw({4}, 3, t);
      Tensor rows = s.rank() == 1 ? unsqueeze(x, 0) : x;
      Reference plain = product(rows, transpose(w, 0, 1)), biased = plain;
      Reference shift(b);
      for (size_t i = 0; i < biased.values.size(); ++i) biased.values[i] += shift.values[i % 4];
      if (s.rank() == 1) plain.shape = biased.shape = Shape{4};
      for (const Tensor& layout : layouts(x)) {
        CHECK(error(linear(layout, w), plain) <= tolerance(t, 5));
        CHECK(error(linear(layout, w, b), biased) <= tolerance(t, 6));
      }
    }
}

TEST_CASE("matmul and linear: gradients of zero sizes") {
  for (const Shape& s : {Shape{3, 0}, Shape{0, 4}, Shape{2, 3, 0}, Shape{2, 0, 4}}) {
    Tensor x = zeros(s).requires_grad_(), w = ones({s.back(), 2}).requires_grad_(), b = ones({2}).requires_grad_();
    sum(matmul(x, w)).backward();
    CHECK(x.grad().shape() == s);
    CHECK(w.grad().shape() == w.shape());
    sum(linear(x, transpose(w, 0, 1), b)).backward();
    CHECK(to_vector(b.grad()) == std::vector<double>(2, static_cast<double>(numel(s.slice(0, s.rank() - 1)))));
  }
}

TEST_CASE("matmul: NaN and infinity pass, also times zero; errors name both shapes") {
  Tensor a = tensor({{NAN, 0.0}, {0.0, 0.0}}), z = zeros({2, 2});
  CHECK(std::isnan(to_vector(matmul(a, z))[0]));
  CHECK(to_vector(matmul(a, z))[2] == 0);
  CHECK(std::isnan(to_vector(matmul(z, full({2, 2}, INFINITY)))[3]));
  CHECK_THROWS_WITH_AS(matmul(zeros({2, 3}), zeros({2, 3})), "matmul: inner sizes differ: [2, 3] · [2, 3]", ShapeError);
  CHECK_THROWS_AS(matmul(zeros({2, 2, 3}), zeros({3, 3, 1})), ShapeError);
  CHECK_THROWS_WITH_AS(matmul(zeros({2, 3}, i64), zeros({3, 2}, i64)), "matmul: takes two floating tensors of one type, got i64 and i64",
                       DTypeError);
  CHECK_THROWS_AS(matmul(zeros({2, 3}), zeros({3, 2}, f64)), DTypeError);
  CHECK_THROWS_AS(matmul(zeros({}), zeros({2})), ShapeError);
  CHECK_THROWS_AS(bmm(zeros({2, 2, 3}), zeros({1, 3, 2})), ShapeError);
  CHECK_THROWS_AS(linear(zeros({2, 3}), zeros({4, 2})), ShapeError);
  CHECK_THROWS_AS(linear(zeros({2, 3}), zeros({4, 3}), zeros({3})), ShapeError);
  CHECK_THROWS_AS(outer(zeros({2, 2}), zeros({2})), ShapeError);
  CHECK_THROWS_AS(dot(zeros({2}), zeros({3})), ShapeError);
}
