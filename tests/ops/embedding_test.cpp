// Embedding against plain loops.
#include "ops/embedding.h"

#include <doctest/doctest.h>

#include "engine/core/parallel.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::test;

TEST_CASE("embedding: rows are copied for any shape of indices and every type") {
  for (DType t : {f64, f32, bf16, f16})
    for (DType index : {i64, i32}) {
      Tensor w = sample({5, 3}, 1, t), indices = to(tensor({{4, 0}, {4, 2}}), index);
      Tensor y = embedding(w, indices);
      CHECK(y.shape() == Shape{2, 2, 3});
      std::vector<double> table = to_vector(w), got = to_vector(y);
      const int64_t rows[] = {4, 0, 4, 2};
      for (size_t i = 0; i < 4; ++i)
        for (size_t c = 0; c < 3; ++c) CHECK(got[i * 3 + c] == table[static_cast<size_t>(rows[i]) * 3 + c]);
    }
}

TEST_CASE("embedding: gradients of repeated rows are summed, the padding row gets none") {
  Tensor w = sample({4, 2}, 1).requires_grad_();
  Tensor y = embedding(w, tensor({1, 3, 1, 0}), 3);
  Tensor dy = tensor({{1.0, 2.0}, {10.0, 20.0}, {100.0, 200.0}, {5.0, 6.0}}, f64);
  Tensor dw = grad({y}, {w}, {}, {dy})[0];
  CHECK(to_vector(dw) == std::vector<double>{5, 6, 101, 202, 0, 0, 0, 0});
}

TEST_CASE("embedding: derivatives to second order, with a strided table") {
  Tensor w = sample({5, 4}, 1), indices = tensor({0, 4, 4, 1});
  CHECK(derivative_error([&](const Tensor& v) { return square(embedding(v, indices)); }, w) < 1e-8);
  CHECK(derivative_error([&](const Tensor& v) { return square(embedding(transpose(v, 0, 1), tensor({0, 3, 3}))); }, w) < 1e-8);
}

TEST_CASE("embedding: 16-bit gradients are summed in f32") {
  Tensor w = zeros({2, 1}, bf16).requires_grad_();
  Tensor y = embedding(w, to(zeros({1000}), i64));
  y.backward(ones({1000, 1}, bf16));
  CHECK(to_vector(w.grad()) == std::vector<double>{1000, 0});  // a sum in bf16 would stick at 256
}

TEST_CASE("embedding: the same bits with 1, 2 and 3 threads, nothing for no indices") {
  Tensor w = sample({7, 200}, 1, f32).requires_grad_();
  std::vector<int64_t> rows(5000);
  Generator g(3);
  for (int64_t& r : rows) r = static_cast<int64_t>(g.next_below(7));
  Tensor indices = from_vector(rows), first;
  int before = num_threads();
  for (int threads : {1, 2, 3}) {
    set_num_threads(threads);
    Tensor dw = gradients(embedding(w, indices), {w}, false)[0];
    if (!first.defined()) first = dw;
    CHECK(same_bits(dw, first));
  }
  set_num_threads(before);
  Tensor none = embedding(w, zeros({0}, i64));
  CHECK(none.shape() == Shape{0, 200});
  CHECK(sum(gradients(none, {w}, false)[0]).item() == 0);
}

TEST_CASE("embedding: bad input is named") {
  Tensor w = zeros({3, 2});
  CHECK_THROWS_WITH_AS(embedding(w, tensor({0, 3})), "embedding: index 3 is outside [0, 3)", IndexError);
  CHECK_THROWS_WITH_AS(embedding(w, tensor({-1})), "embedding: index -1 is outside [0, 3)", IndexError);
  CHECK_THROWS_WITH_AS(embedding(w, tensor({0.5})), "embedding: indices must be i64 or i32, they are f32", DTypeError);
  CHECK_THROWS_WITH_AS(embedding(zeros({3}), tensor({0})), "embedding: the weight must be [rows, columns], it is [3]", ShapeError);
  CHECK_THROWS_WITH_AS(embedding(w, tensor({0}), 3), "embedding: padding_idx 3 is outside [0, 3)", IndexError);
}
