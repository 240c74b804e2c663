// Attention and rotary embeddings on the device against the CPU in f64.
#include "ops/attention.h"

#include <doctest/doctest.h>

#include <limits>
#include <utility>

#include "engine/autograd/grad_mode.h"
#include "engine/core/generator.h"
#include "ops/create.h"
#include "ops/kernels/attention.h"
#include "ops/pointwise.h"
#include "ops/shape.h"
#include "tests/cuda/attention_inputs.h"

using namespace plumb;
using namespace plumb::testing;

namespace {

// Rounding of results and, for 16-bit types, of weights before they meet the values: a few units each; sums of f32 are longer.
double tolerance(DType type) { return type == f64 ? 1e-13 : type == f32 ? 2e-5 : 3 * epsilon(type); }

void check_types(std::initializer_list<DType> types, const AttentionSizes& s, const AttentionOptions& options) {
  for (DType type : types) {
    double d = distance_from_cpu(attend(options), attention_inputs(s, type), type);
    CHECK_MESSAGE(d <= tolerance(type),
                  name(type) << " " << s.queries << "×" << s.keys << ", widths " << s.width << " and " << s.values << ": " << d);
  }
}
void check_all_types(const AttentionSizes& s, const AttentionOptions& options) { check_types({f64, f32, bf16, f16}, s, options); }

}  // namespace

TEST_CASE("attention: results and gradients equal the CPU's for every type") {
  check_all_types({1, 1, 1, 1, 1, 32, 32}, {});
  check_all_types({2, 2, 2, 33, 70, 64, 64}, {});   // sizes that no tile divides
  check_all_types({1, 2, 1, 130, 40, 40, 24}, {});  // several tiles of queries, widths that are padded
  check_all_types({1, 4, 2, 20, 150, 7, 5}, {});    // several tiles of keys, rows that are not aligned
  check_all_types({1, 1, 1, 70, 70, 128, 72}, {});
}

TEST_CASE("attention: wide heads") {
  for (DType type : {bf16, f32}) {
    CHECK(distance_from_cpu(attend({}), attention_inputs({1, 1, 1, 70, 40, 256, 200}, type), type) <= tolerance(type));
    CHECK(distance_from_cpu(attend({.causal = true}), attention_inputs({1, 1, 1, 40, 70, 320, 300}, type), type) <=
          tolerance(type));  // beyond tensor cores
  }
}

TEST_CASE("attention: a few queries, with as many keys as make several pieces") {
  for (DType type : {f32, bf16, f16})
    for (auto [sizes, options] : {std::pair{AttentionSizes{2, 2, 1, 1, 1300, 16, 16}, AttentionOptions{.causal = true}},
                                  std::pair{AttentionSizes{1, 2, 2, 3, 700, 40, 130}, AttentionOptions{.mask = noise({3, 700}, f32, 8)}},
                                  std::pair{AttentionSizes{1, 1, 1, 4, 1100, 8, 8}, AttentionOptions{.causal = true, .window = 300}}}) {
      const NoGrad off;
      const std::vector<Tensor> x = attention_inputs(sizes, type);
      std::vector<Tensor> on_gpu, wide;
      for (const Tensor& t : x) on_gpu.push_back(to_gpu(t)), wide.push_back(to(t, f64));
      CHECK(distance(attend(options)(on_gpu)[0], attend(options)(wide)[0]) <= tolerance(type));
    }
  check_types({f32, bf16}, {1, 2, 1, 3, 70, 16, 16}, {.causal = true});
}

TEST_CASE("attention: causal, with more keys or more queries, and a sliding window") {
  for (const AttentionSizes& s :
       {AttentionSizes{1, 2, 1, 140, 140, 32, 32}, AttentionSizes{1, 1, 1, 70, 150, 64, 64}, AttentionSizes{1, 1, 1, 150, 70, 64, 64}}) {
    check_all_types(s, {.causal = true});
    check_all_types(s, {.causal = true, .window = 37});
  }
}

TEST_CASE("attention: a query that sees nothing gives 0 and takes no part") {
  for (DType type : {f32, bf16}) {
    const std::vector<Tensor> x = attention_inputs({1, 1, 1, 100, 30, 32, 32}, type);  // causal: the first 70 queries see nothing
    const std::vector<Tensor> y = results_and_gradients(attend({.causal = true}), x, kGpu, type);
    for (const Tensor& t : {y[0], y[1]})
      for (double v : to_vector(to_cpu(slice(t, 2, 0, 70)))) CHECK(v == 0);
    const Tensor forbidden = zeros({30}, boolean);
    for (const Tensor& t : results_and_gradients(attend({.mask = forbidden}), x, kGpu, type))
      for (double v : to_vector(to_cpu(t))) CHECK(v == 0);
  }
}

TEST_CASE("attention: masks of any broadcast shape, added or bool") {
  Generator generator(5);
  const AttentionSizes s{2, 2, 1, 33, 70, 16, 16};
  for (const Shape& shape : {Shape{70}, Shape{33, 1}, Shape{2, 1, 33, 70}, Shape{2, 33, 70}}) {
    check_types({f32, bf16}, s, {.mask = noise(shape, f32, 9)});
    Tensor allowed = empty(shape, boolean);
    for (int64_t i = 0; i < allowed.numel(); ++i) allowed.data<bool>()[i] = generator.next_below(4) != 0;
    check_types({f64, f16}, s, {.causal = true, .mask = allowed});
  }
}

TEST_CASE("attention: a mask that lies elsewhere is refused by one line") {
  Tensor x = to_gpu(some_numbers({1, 1, 4, 8}, f32)), mask = ones({4, 4}, boolean);
  CHECK_THROWS_WITH_AS(scaled_dot_product_attention(x, x, x, {.mask = mask}),
                       "scaled_dot_product_attention: mask: one tensor is on cuda:0, the other on cpu", DeviceError);
}

TEST_CASE("attention: dropout drops the weights that the CPU drops") {
  for (DType type : {f64, f32, bf16, f16}) {
    const Function f = [](const std::vector<Tensor>& x) -> std::vector<Tensor> {
      manual_seed(11);
      return {scaled_dot_product_attention(x[0], x[1], x[2], {.causal = true, .dropout = 0.3})};
    };
    CHECK(distance_from_cpu(f, attention_inputs({1, 2, 2, 67, 67, 24, 24}, type), type) <= tolerance(type));
  }
}

TEST_CASE("attention: packed projections, heads in any order of memory") {
  for (DType type : {f32, bf16}) {
    const Function packed = [](const std::vector<Tensor>& x) -> std::vector<Tensor> {
      return {packed_attention(x[0], 4, 2, {.causal = true})};
    };
    CHECK(distance_from_cpu(packed, {noise({2, 70, 8 * 16}, type, 4)}, type) <= tolerance(type));
    const Function turned = [](const std::vector<Tensor>& x) -> std::vector<Tensor> {
      return {scaled_dot_product_attention(transpose(x[0], 1, 2), transpose(x[1], 1, 2), transpose(x[2], 2, 3), {})};
    };
    CHECK(distance_from_cpu(turned, {noise({1, 40, 2, 16}, type, 1), noise({1, 50, 2, 16}, type, 2), noise({1, 2, 16, 50}, type, 3)},
                            type) <= tolerance(type));
  }
}

TEST_CASE("attention: large scores neither overflow nor lose the sum") {
  for (DType type : {f32, bf16}) {
    std::vector<Tensor> x = attention_inputs({1, 1, 1, 40, 80, 32, 32}, type);
    CHECK(distance_from_cpu(attend({.scale = 20}), x, type) <= 40 * tolerance(type));  // scores near 500 carry rounding of 500 ε
    for (const Tensor& t : results_and_gradients(attend({.scale = 1000}), x, kGpu, type))
      for (double v : to_vector(to_cpu(t))) CHECK(std::isfinite(v));
  }
}

TEST_CASE("attention: the same bits every time, backward too") {
  for (DType type : {f32, bf16}) CHECK(repeats(attend({.causal = true}), attention_inputs({1, 4, 2, 100, 100, 32, 32}, type), type));
}

TEST_CASE("attention: nothing to do") {
  for (DType type : {f32, bf16})
    for (const AttentionSizes& s :
         {AttentionSizes{0, 2, 1, 3, 4, 8, 8}, AttentionSizes{1, 2, 1, 0, 4, 8, 8}, AttentionSizes{1, 2, 1, 3, 0, 8, 8}}) {
      const std::vector<Tensor> y = results_and_gradients(attend({}), attention_inputs(s, type), kGpu, type),
                                expected = results_and_gradients(attend({}), attention_inputs(s, type), cpu, type);
      for (size_t i = 0; i < y.size(); ++i) CHECK(same(to_cpu(y[i]), expected[i]));
    }
}

TEST_CASE("attention: the log-sum-exp of every row") {
  for (DType type : {f32, bf16}) {
    const std::vector<Tensor> x = attention_inputs({1, 2, 1, 70, 50, 16, 16}, type);
    auto lse_on = [&](Device device) {
      Tensor q = on(x[0], device), k = on(x[1], device), v = on(x[2], device), out = empty({1, 2, 70, 16}, type, device),
             lse = empty({1, 2, 70}, f32, device);
      kernel::attention(device, {.scale = 0.25, .causal = true}, q, k, v, {}, out, lse);
      return to_vector(to_cpu(lse));
    };
    const std::vector<double> got = lse_on(kGpu), expected = lse_on(cpu);
    for (size_t i = 0; i < got.size(); ++i) {
      if (std::isinf(expected[i]))
        CHECK(got[i] == expected[i]);
      else
        CHECK(std::abs(got[i] - expected[i]) <= 1e-5);
    }
  }
}

TEST_CASE("rotary: equals the CPU's for both orders of pairs, every type, and widths beyond a launch") {
  for (DType type : {f64, f32, bf16, f16})
    for (bool interleaved : {false, true})
      for (const Shape& shape : {Shape{2, 3, 5, 8}, Shape{70, 3, 6}, Shape{1, 2, 1030}, Shape{0, 2, 4}, Shape{2, 0, 4}}) {
        const Function f = [&](const std::vector<Tensor>& x) -> std::vector<Tensor> {
          return {rotary_embedding(x[0], on(arange(shape[shape.rank() - 2], i64) * 37, x[0].device()), {.interleaved = interleaved})};
        };
        CHECK(distance_from_cpu(f, {noise(shape, type, 6)}, type) <= (type == f64 ? 1e-14 : 2 * epsilon(type)));
      }
}
