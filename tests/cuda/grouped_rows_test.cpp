// Rows that go to places and come back, on the device against the CPU; and a layer of experts that does not wait for the device.
#include "ops/grouped_rows.h"

#include <doctest/doctest.h>

#include <cstdlib>

#include "engine/autograd/autocast.h"
#include "engine/core/capture.h"
#include "models/moe/feed_forward.h"
#include "ops/create.h"
#include "ops/grouped_matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "tests/cuda/compare.h"

using namespace plumb;
using namespace plumb::testing;

namespace {

Tensor labels(int64_t n, int64_t groups, uint64_t seed) {
  Generator generator(seed);
  std::vector<int64_t> drawn(static_cast<size_t>(n));
  for (int64_t& l : drawn) l = static_cast<int64_t>(generator.next_below(static_cast<uint64_t>(groups)));
  return from_vector(drawn);
}

// There and back with weights, in the types of the inputs.
std::vector<Tensor> there_and_back(const std::vector<Tensor>& x) {
  const Tensor &rows = x[0], &weight = x[1], &place = x[2];
  Tensor sent = spread_rows(rows, place, weight.size(0), weight);
  return {sent, join_rows(sent, place, weight), row_dots(rows, sent, place)};
}

}  // namespace

TEST_CASE("grouped rows: labels in order, as on the CPU") {
  for (auto [n, groups] : {std::pair<int64_t, int64_t>{0, 3}, {1, 1}, {7, 4}, {5000, 8}, {3000, 300}, {100, 70000}}) {
    Tensor label = labels(n, groups, 3);
    Grouping expected = group_by(label, groups), got = group_by(to_gpu(label), groups);
    CHECK(same(to_cpu(got.order), expected.order));
    CHECK(same(to_cpu(got.place), expected.place));
    CHECK(same(to_cpu(got.offsets), expected.offsets));
  }
}

TEST_CASE("grouped rows: there and back with gradients equals the CPU, in pieces of 16 bytes and without, with places that are nowhere") {
  for (int64_t width : {5, 16, 72})
    for (DType type : {f64, f32, bf16, f16}) {
      Tensor place = reshape(group_by(labels(90, 7, 1), 7).place, {30, 3});
      CHECK(distance_from_cpu(there_and_back, {noise({30, width}, type, 1), noise({90}, type, 2), place}, type) <= 8 * epsilon(type));
      Tensor some = tensor({{3, -1}, {-1, -1}, {0, 2}, {-1, 1}});
      CHECK(distance_from_cpu(there_and_back, {noise({4, width}, type, 1), noise({4}, type, 2), some}, type) <= 8 * epsilon(type));
    }
}

TEST_CASE("grouped rows: f32 rows to 16-bit places, and sums in f32 back") {
  Tensor place = reshape(group_by(labels(80, 5, 1), 5).place, {40, 2}), x = noise({40, 24}, f32, 1), weight = noise({80}, f32, 2);
  for (DType type : {bf16, f16}) {
    Tensor sent = to_cpu(spread_rows(to_gpu(x), to_gpu(place), 80, {}, type));
    CHECK(same(sent, spread_rows(x, place, 80, {}, type)));
    CHECK(distance(to_cpu(join_rows(to_gpu(sent), to_gpu(place), to_gpu(weight))), join_rows(sent, place, weight)) <= 4 * epsilon(f32));
    CHECK(distance(to_cpu(row_dots(to_gpu(x), to_gpu(sent), to_gpu(place))), row_dots(x, sent, place)) <= 32 * epsilon(f32));
  }
}

TEST_CASE("grouped rows: the same bits every time") {
  Tensor place = reshape(group_by(labels(120, 5, 1), 5).place, {60, 2});
  for (DType type : {f32, bf16}) CHECK(repeats(there_and_back, {noise({60, 40}, type, 1), noise({120}, type, 2), place}, type));
}

TEST_CASE("grouped sum: columns of any number, segments of any size, equal the CPU") {
  const Function f = [](const std::vector<Tensor>& x) -> std::vector<Tensor> { return {grouped_sum(x[0], x[1])}; };
  for (int64_t width : {1, 8, 300, 520})
    for (DType type : {f64, f32, bf16, f16}) {
      CHECK(distance_from_cpu(f, {noise({400, width}, type, 1), tensor({0, 0, 130, 131, 131, 400})}, type) <= 4 * epsilon(type));
      CHECK(distance_from_cpu(f, {noise({0, width}, type, 1), tensor({0, 0})}, type) == 0);
    }
}

TEST_CASE("grouped sum: more segments than a grid has rows") {
  if (!std::getenv("PLUMB_TEST_GPU")) {
    MESSAGE("skipped: 70,000 blocks take the simulated device minutes");
    return;
  }
  Tensor x = some_numbers({70000, 1}, f32), ends = arange(70001, i64);
  CHECK(same(to_cpu(grouped_sum(to_gpu(x), to_gpu(ends))), x));
}

// What waits for the device cannot be recorded, and throws.
TEST_CASE("grouped rows: a layer of experts is recorded whole, forward and backward") {
  manual_seed(3);
  moe::MoeFeedForward layer(16, {.experts = 4, .top_k = 2, .inner = 32});
  layer.to(kGpu);
  Tensor x = to_gpu(noise({2, 12, 16}, f32, 1));
  auto gradients = [&](bool captured) {
    CapturedStep step = capture(
        [&] {
          for (const Tensor& p : layer.parameters()) p.zero_grad();
          Tensor y;
          {
            Autocast cast(bf16);
            y = layer(x);
          }
          Tensor loss = mean(square(y));
          loss.backward();
          return loss;
        },
        captured ? kGpu : cpu);
    for (int i = 0; i < 4; ++i) step();
    CHECK(step.captured() == captured);
    std::vector<Tensor> all;
    for (const Tensor& p : layer.parameters()) all.push_back(to_cpu(p.grad()));
    return all;
  };
  std::vector<Tensor> plain = gradients(false), recorded = gradients(true);
  REQUIRE(plain.size() == recorded.size());
  for (size_t i = 0; i < plain.size(); ++i) CHECK(same(plain[i], recorded[i]));
}
