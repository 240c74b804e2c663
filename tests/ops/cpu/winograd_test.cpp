// Winograd's convolution against the plain sum in f64: values, gradients, the stated errors, and what its bits may not depend on.
#include <doctest/doctest.h>

#include <cmath>

#include "engine/autograd/backward.h"
#include "engine/core/error.h"
#include "engine/core/parallel.h"
#include "engine/core/precision.h"
#include "ops/conv.h"
#include "ops/cpu/gemm/kernels.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::test;

namespace {

// In f32 and, on tiles of 2 × 2 whatever is asked for, in bf16.
struct Allowed {
  explicit Allowed(Winograd tiles) { allow_winograd(tiles), allow_winograd_bf16(tiles != Winograd::off); }
  ~Allowed() { allow_winograd(before), allow_winograd_bf16(before_bf16); }
  Winograd before = winograd_allowed();
  bool before_bf16 = winograd_bf16_allowed();
};

struct Instructions {
  explicit Instructions(gemm::InstructionSet set) { gemm::use_instruction_set(set); }
  ~Instructions() { gemm::use_instruction_set(before); }
  gemm::InstructionSet before = gemm::instruction_set();
};

struct Layer {
  Shape x;
  int64_t out;
  Size2 padding;
  Shape weight() const { return {out, x[1], 3, 3}; }
  Shape y() const { return {x[0], out, x[2] + 2 * padding.height - 2, x[3] + 2 * padding.width - 2}; }
};

// Whole and broken blocks of channels, whole and broken tiles, no padding to more than the kernel takes, many small images in a block of
// tiles, an image wider than a block, chains of more than 384 channels.
std::vector<Layer> layers() {
  return {{{2, 16, 8, 8}, 32, 1}, {{1, 19, 7, 5}, 17, 1},     {{3, 33, 2, 9}, 40, {1, 0}}, {{2, 16, 9, 6}, 16, {0, 2}},
          {{2, 24, 5, 4}, 18, 3}, {{37, 16, 4, 4}, 50, 1},    {{1, 16, 3, 301}, 16, 1},    {{1, 400, 5, 6}, 35, 1},
          {{1, 16, 40, 37}, 16, 1}, {{1, 16, 2, 2}, 16, 1}};
}

std::vector<Tensor> values_and_gradients(const Layer& l, const Tensor& x, const Tensor& w, const Tensor& b, const Tensor& dy) {
  Tensor a = x.detach().requires_grad_(), v = w.detach().requires_grad_();
  Tensor y = conv2d(a, v, b, {.padding = l.padding});
  std::vector<Tensor> all = grad({y}, {a, v}, {}, {dy});
  all.push_back(y.detach());
  return all;
}

// The result of `tiles` for values drawn from a normal distribution: dx, dweight and y.
std::vector<Tensor> computed(const Layer& l, Winograd tiles, DType type = f32) {
  Allowed scope(tiles);
  Generator generator(1);
  auto draw = [&](const Shape& shape) { return to(randn(shape, {.generator = &generator}), type); };
  Tensor x = draw(l.x), w = draw(l.weight()), b = draw({l.out}), dy = draw(l.y());
  return values_and_gradients(l, x, w, b, dy);
}

double root_mean_square(const Tensor& x) { return std::sqrt(mean(square(to(x, f64))).item()); }

}  // namespace

TEST_CASE("winograd: values and gradients are those of the plain sum") {
  for (const Layer& l : layers())
    for (Winograd tiles : {Winograd::tiles_2x2, Winograd::tiles_4x4}) {
      CAPTURE(to_string(l.x) + " " + to_string(l.weight()));
      CAPTURE(static_cast<int>(tiles));
      std::vector<Tensor> exact = computed(l, Winograd::off, f64), found = computed(l, tiles);
      // n products of the normal distribution sum up to about √n. Plain sums err by 5 roundings of that (one standard deviation, measured).
      const double terms[] = {9.0 * static_cast<double>(l.out), static_cast<double>(numel(l.y()) / l.out),
                              9.0 * static_cast<double>(l.x[1])};
      for (size_t i = 0; i < 3; ++i)
        CHECK(max(abs(to(found[i], f64) - exact[i])).item() <= (tiles == Winograd::tiles_2x2 ? 64 : 512) * 0x1p-24 * std::sqrt(terms[i]));
    }
}

TEST_CASE("winograd: 2 × 2 tiles err at most twice as much as the plain sum, 4 × 4 tiles at most sixteen times") {
  for (int64_t channels : {16, 128, 512}) {
    const Layer l{{2, channels, 12, 12}, 32, 1};
    const std::vector<Tensor> exact = computed(l, Winograd::off, f64), plain = computed(l, Winograd::off),
                              two = computed(l, Winograd::tiles_2x2), four = computed(l, Winograd::tiles_4x4);
    for (size_t i = 0; i < 3; ++i) {
      CAPTURE(channels);
      CAPTURE(i);
      auto error = [&](const Tensor& x) { return root_mean_square(to(x, f64) - exact[i]); };
      CHECK(error(plain[i]) > 0);
      CHECK(error(two[i]) <= 2 * error(plain[i]));
      CHECK(error(four[i]) <= 16 * error(plain[i]));
      CHECK_FALSE(same_bits(two[i], plain[i]));  // the setting is heeded
      CHECK_FALSE(same_bits(four[i], two[i]));
    }
  }
}

TEST_CASE("winograd: the same bits with 1, 2, 3 and 8 threads") {
  const int before = num_threads();
  for (const Layer& l : layers())
    for (Winograd tiles : {Winograd::tiles_2x2, Winograd::tiles_4x4}) {
      set_num_threads(1);
      const std::vector<Tensor> one = computed(l, tiles);
      for (int threads : {2, 3, 8}) {
        set_num_threads(threads);
        const std::vector<Tensor> many = computed(l, tiles);
        for (size_t i = 0; i < 3; ++i) CHECK(same_bits(many[i], one[i]));
      }
    }
  set_num_threads(before);
}

TEST_CASE("winograd: every instruction set with fused multiply-add gives the same bits") {
#ifdef __FP_FAST_FMA
  for (const Layer& l : layers())
    for (Winograd tiles : {Winograd::tiles_2x2, Winograd::tiles_4x4}) {
      const std::vector<Tensor> expected = computed(l, tiles);
      for (gemm::InstructionSet set : {gemm::InstructionSet::plain, gemm::InstructionSet::avx2, gemm::InstructionSet::avx512}) try {
          Instructions scope(set);
          const std::vector<Tensor> found = computed(l, tiles);
          for (size_t i = 0; i < 3; ++i) CHECK(same_bits(found[i], expected[i]));
        } catch (const ConfigError& e) { MESSAGE("skipped: ", std::string(e.what())); }
    }
#else
  MESSAGE("skipped: this build's target has no fused multiply-add");
#endif
}

TEST_CASE("winograd: the bits depend on neither strides nor the rest of the batch") {
  const Layer l{{3, 16, 10, 7}, 32, 1};
  const Tensor x = sample(l.x, 1, f32), w = sample(l.weight(), 2, f32), b = sample({l.out}, 3, f32), dy = sample(l.y(), 4, f32);
  const std::vector<Tensor> expected = values_and_gradients(l, x, w, b, dy);
  auto channels_last = [](const Tensor& t) { return permute(clone(permute(t, {0, 2, 3, 1})), {0, 3, 1, 2}); };
  for (const auto& other : {values_and_gradients(l, channels_last(x), channels_last(w), b, channels_last(dy)),
                            values_and_gradients(l, strided(x), strided(w), b, strided(dy))})
    for (size_t i = 0; i < 3; ++i) CHECK(same_bits(other[i], expected[i]));
  CHECK(same_bits(conv2d(select(x, 0, 1), w, b, {.padding = 1}), select(expected[2], 0, 1)));
}

// What bf16 may err by: its transformed values are rounded to 8 bits, two of each product, where the plain sum rounds the result alone.
TEST_CASE("winograd: in bf16, where there are dot products of pairs, errs at most four times as much as the plain sum's rounding to bf16") {
  try {
    Instructions scope(gemm::InstructionSet::avx512bf16);
    for (const Layer& l : layers()) {
      CAPTURE(to_string(l.x) + " " + to_string(l.weight()));
      const std::vector<Tensor> plain = computed(l, Winograd::off, bf16), found = computed(l, Winograd::tiles_2x2, bf16);
      Allowed off(Winograd::off);
      Generator generator(1);
      auto draw = [&](const Shape& shape) { return to(to(randn(shape, {.generator = &generator}), bf16), f64); };
      Tensor x = draw(l.x), w = draw(l.weight()), b = draw({l.out}), dy = draw(l.y());
      const std::vector<Tensor> exact = values_and_gradients(l, x, w, b, dy);
      for (size_t i = 0; i < 3; ++i) {
        CAPTURE(i);
        auto error = [&](const Tensor& t) { return root_mean_square(to(t, f64) - exact[i]); };
        CHECK(error(found[i]) <= 4 * error(plain[i]));
        CHECK_FALSE(same_bits(found[i], plain[i]));
        CHECK(same_bits(computed(l, Winograd::tiles_4x4, bf16)[i], found[i]));
      }
    }
  } catch (const ConfigError& e) { MESSAGE("skipped: ", std::string(e.what())); }
}

TEST_CASE("winograd: in bf16, the same bits with 1, 2, 3 and 8 threads and for an image by itself") {
  try {
    Instructions scope(gemm::InstructionSet::avx512bf16);
    const int before = num_threads();
    for (const Layer& l : layers()) {
      set_num_threads(1);
      const std::vector<Tensor> one = computed(l, Winograd::tiles_2x2, bf16);
      for (int threads : {2, 3, 8}) {
        set_num_threads(threads);
        const std::vector<Tensor> many = computed(l, Winograd::tiles_2x2, bf16);
        for (size_t i = 0; i < 3; ++i) CHECK(same_bits(many[i], one[i]));
      }
    }
    set_num_threads(before);
    Allowed allowed(Winograd::tiles_2x2);
    const Layer l{{3, 16, 10, 7}, 32, 1};
    const Tensor x = sample(l.x, 1, bf16), w = sample(l.weight(), 2, bf16), b = sample({l.out}, 3, bf16);
    const Tensor y = conv2d(x, w, b, {.padding = 1});
    for (int64_t i = 0; i < 3; ++i) CHECK(same_bits(conv2d(slice(x, 0, i, i + 1), w, b, {.padding = 1}), slice(y, 0, i, i + 1)));
  } catch (const ConfigError& e) { MESSAGE("skipped: ", std::string(e.what())); }
}
