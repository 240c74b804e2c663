// Embedding bags against plain loops.
#include <doctest/doctest.h>

#include "engine/core/parallel.h"
#include "ops/embedding.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::test;

namespace {

// Bags {1, 3, 1}, {}, {0}, {2, 2}: 7 is padding in one test.
const std::vector<std::vector<int64_t>> kBags{{1, 3, 1}, {}, {0}, {2, 2}};

Tensor reference(const Tensor& w, BagMode mode, const std::vector<double>& scale, int64_t padding = -1) {
  auto columns = static_cast<size_t>(w.size(1));
  std::vector<double> table = to_vector(w), out(kBags.size() * columns);
  size_t at = 0;
  for (size_t b = 0; b < kBags.size(); ++b) {
    double count = 0;
    for (size_t i = 0; i < kBags[b].size(); ++i, ++at) {
      if (kBags[b][i] == padding) continue;
      for (size_t c = 0; c < columns; ++c) {
        double v = table[static_cast<size_t>(kBags[b][i]) * columns + c], &into = out[b * columns + c];
        into = mode == BagMode::max ? (count == 0 ? v : std::max(into, v)) : into + v * (mode == BagMode::sum ? scale[at] : 1);
      }
      count += 1;
    }
    if (mode == BagMode::mean && count > 0)
      for (size_t c = 0; c < columns; ++c) out[b * columns + c] /= count;
  }
  return from_vector(out, {static_cast<int64_t>(kBags.size()), w.size(1)});
}

}  // namespace

TEST_CASE("embedding_bag: sums, means and maxima with offsets, empty bags, weights and padding, in every type") {
  Tensor indices = tensor({1, 3, 1, 0, 2, 2}), offsets = tensor({0, 3, 3, 4});
  std::vector<double> scale{0.5, -1, 2, 3, 0.25, 1}, plain(6, 1);
  for (DType t : {f64, f32, bf16, f16}) {
    Tensor w = sample({4, 70}, 1, t);
    double tolerance = t == f64 ? 1e-14 : t == f32 ? 1e-6 : t == bf16 ? 1.0 / 128 : 1.0 / 1024;
    CHECK(difference(embedding_bag(w, indices, offsets, {.mode = BagMode::sum}), reference(w, BagMode::sum, plain)) < tolerance);
    CHECK(difference(embedding_bag(strided(w), to(indices, i32), offsets), reference(w, BagMode::mean, plain)) < tolerance);
    CHECK(difference(embedding_bag(w, indices, offsets, {.mode = BagMode::max}), reference(w, BagMode::max, plain)) < tolerance);
    CHECK(difference(embedding_bag(w, indices, offsets, {.mode = BagMode::sum, .per_sample_weights = from_vector(scale)}),
                     reference(w, BagMode::sum, scale)) < 2 * tolerance);
    for (BagMode mode : {BagMode::sum, BagMode::mean, BagMode::max})
      CHECK(difference(embedding_bag(w, indices, offsets, {.mode = mode, .padding_idx = 1}), reference(w, mode, plain, 1)) < tolerance);
    CHECK(difference(embedding_bag(w, indices, offsets, {.mode = BagMode::sum, .per_sample_weights = from_vector(scale), .padding_idx = 3}),
                     reference(w, BagMode::sum, scale, 3)) < 2 * tolerance);
  }
}

TEST_CASE("embedding_bag: bags of one size need no offsets; none at all are fine") {
  Tensor w = sample({4, 3}, 1), indices = tensor({{0, 1}, {3, 3}});
  CHECK(difference(embedding_bag(w, indices), embedding_bag(w, tensor({0, 1, 3, 3}), tensor({0, 2}))) == 0);
  CHECK(embedding_bag(w, zeros({0, 2}, i64)).shape() == Shape{0, 3});
  CHECK(to_vector(embedding_bag(w, zeros({2, 0}, i64))) == std::vector<double>(6, 0));
}

TEST_CASE("embedding_bag: derivatives to second order, in the table and in the weights") {
  Tensor w = sample({4, 3}, 1), indices = tensor({1, 3, 1, 0, 2, 2}), offsets = tensor({0, 3, 3, 4}), scale = sample({6}, 2);
  for (BagMode mode : {BagMode::sum, BagMode::mean, BagMode::max})
    CHECK(derivative_error([&](const Tensor& v) { return square(embedding_bag(v, indices, offsets, {.mode = mode})); }, w) < 1e-7);
  auto weighted = [&](const Tensor& table, const Tensor& s) {
    return square(embedding_bag(table, indices, offsets, {.mode = BagMode::sum, .per_sample_weights = s, .padding_idx = 3}));
  };
  CHECK(derivative_error([&](const Tensor& v) { return weighted(v, scale); }, w) < 1e-7);
  CHECK(derivative_error([&](const Tensor& v) { return weighted(w, v); }, scale) < 1e-7);
}

TEST_CASE("embedding_bag: the same bits with 1, 2 and 3 threads") {
  std::vector<int64_t> index(3000);
  Generator g(1);
  for (int64_t& i : index) i = static_cast<int64_t>(g.next_below(50));
  Tensor w = sample({50, 130}, 1, f32).requires_grad_(), indices = from_vector(index, {300, 10}), y, dw;
  int before = num_threads();
  for (int threads : {1, 2, 3}) {
    set_num_threads(threads);
    Tensor a = embedding_bag(w, indices), b = gradients(a, {w}, false)[0];
    if (threads == 1) y = a, dw = b;
    CHECK(same_bits(a, y));
    CHECK(same_bits(b, dw));
  }
  set_num_threads(before);
}

TEST_CASE("embedding_bag: bad input is named") {
  Tensor w = zeros({3, 2}), i = tensor({0, 1, 2});
  CHECK_THROWS_WITH_AS(embedding_bag(w, tensor({0, 5}), tensor({0})), "embedding_bag: index 5 is outside [0, 3)", IndexError);
  CHECK_THROWS_WITH_AS(embedding_bag(w, i, tensor({1})), "embedding_bag: offset 1 of bag 0 is not in order from 0 to 3", ValueError);
  CHECK_THROWS_WITH_AS(embedding_bag(w, i, tensor({0, 2, 1})), "embedding_bag: offset 1 of bag 2 is not in order from 0 to 3", ValueError);
  CHECK_THROWS_WITH_AS(embedding_bag(w, i, tensor({0, 4})), "embedding_bag: offset 4 of bag 1 is not in order from 0 to 3", ValueError);
  CHECK_THROWS_WITH_AS(embedding_bag(w, i), "embedding_bag: without offsets the indices must be [bags, size], they are [3]", ShapeError);
  CHECK_THROWS_WITH_AS(embedding_bag(w, i, tensor({0}), {.per_sample_weights = ones({3})}),
                       "embedding_bag: per_sample_weights go with mode sum only", ValueError);
  CHECK_THROWS_AS(embedding_bag(w, i, tensor({0}), {.mode = BagMode::sum, .per_sample_weights = ones({2})}), ShapeError);
}
