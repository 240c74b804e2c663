// Convolution, its adjoints and padding against plain loops in f64.
#include "ops/conv.h"

#include <doctest/doctest.h>

#include "engine/autograd/autocast.h"
#include "engine/core/parallel.h"
#include "ops/cpu/gemm/kernels.h"
#include "ops/join.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::test;

namespace {

struct Config {
  int64_t batch, in, height, width, out, kh, kw;
  Conv2dOptions o;
  Shape input() const { return {batch, in, height, width}; }
  Shape weight() const { return {out, in / o.groups, kh, kw}; }
  Shape output() const {
    return {batch, out, (height + 2 * o.padding.height - o.dilation.height * (kh - 1) - 1) / o.stride.height + 1,
            (width + 2 * o.padding.width - o.dilation.width * (kw - 1) - 1) / o.stride.width + 1};
  }
};

// Odd shapes on purpose; depthwise, few and many channels, kernels larger than the stride and smaller, padding beyond the kernel.
std::vector<Config> configs() {
  return {
      {2, 3, 5, 7, 4, 3, 3, {.padding = 1}},
      {1, 1, 1, 1, 1, 1, 1, {}},
      {3, 5, 9, 4, 7, 1, 1, {}},
      {2, 5, 9, 4, 7, 1, 1, {.stride = 2}},
      {2, 3, 8, 9, 5, 2, 3, {.stride = {2, 1}, .padding = {0, 2}}},
      {1, 2, 13, 11, 3, 3, 3, {.stride = 3, .padding = 1, .dilation = 2}},
      {2, 2, 7, 6, 4, 2, 2, {.stride = {5, 3}, .padding = {1, 4}}},
      {2, 4, 6, 5, 6, 3, 2, {.padding = 1, .groups = 2}},
      {2, 6, 5, 8, 6, 3, 3, {.padding = 1, .groups = 6}},
      {1, 4, 9, 7, 8, 3, 3, {.stride = 2, .padding = 1, .groups = 4}},
      {2, 6, 7, 7, 18, 2, 2, {.dilation = {2, 3}, .groups = 6}},
      {2, 50, 6, 5, 40, 3, 3, {.padding = 1}},        // several blocks of the product's inner size
      {1, 3, 40, 37, 33, 5, 5, {.stride = 2, .padding = 2}},
      {19, 7, 3, 3, 13, 3, 3, {.padding = 1}},        // images put together
      {1, 2, 1, 1500, 3, 1, 9, {.stride = {1, 2}, .padding = {0, 4}}},
      {1, 2, 5, 900, 2, 3, 3, {.padding = {1, 1}}},
      {2, 17, 5, 4, 1, 3, 3, {}},
      {2, 3, 4, 4, 200, 3, 3, {.padding = 2}},
  };
}

struct Sums {
  std::vector<double> y, dx, dw;
};

// The three adjoint sums of ⟨dy, weight ∗ x⟩, entry by entry.
Sums plain_loops(const Config& c, const Tensor& x, const Tensor& w, const Tensor& dy) {
  std::vector<double> vx = to_vector(x), vw = to_vector(w), vy = to_vector(dy);
  Shape out = c.output();
  Sums s{std::vector<double>(vy.size()), std::vector<double>(vx.size()), std::vector<double>(vw.size())};
  const int64_t in_group = c.in / c.o.groups, out_group = c.out / c.o.groups;
  for (int64_t n = 0; n < c.batch; ++n)
    for (int64_t o = 0; o < c.out; ++o)
      for (int64_t i = 0; i < out[2]; ++i)
        for (int64_t j = 0; j < out[3]; ++j)
          for (int64_t k = 0; k < in_group; ++k)
            for (int64_t p = 0; p < c.kh; ++p)
              for (int64_t q = 0; q < c.kw; ++q) {
                const int64_t row = i * c.o.stride.height - c.o.padding.height + p * c.o.dilation.height;
                const int64_t column = j * c.o.stride.width - c.o.padding.width + q * c.o.dilation.width;
                if (row < 0 || row >= c.height || column < 0 || column >= c.width) continue;
                const auto ax = static_cast<size_t>(((n * c.in + o / out_group * in_group + k) * c.height + row) * c.width + column);
                const auto aw = static_cast<size_t>(((o * in_group + k) * c.kh + p) * c.kw + q),
                           ay = static_cast<size_t>(((n * c.out + o) * out[2] + i) * out[3] + j);
                s.y[ay] += vw[aw] * vx[ax];
                s.dx[ax] += vw[aw] * vy[ay];
                s.dw[aw] += vx[ax] * vy[ay];
              }
  return s;
}

Tensor channels_last(const Tensor& x) { return permute(clone(permute(x, {0, 2, 3, 1})), {0, 3, 1, 2}); }

// |a − b| ≤ tolerance · the size that the sums of `terms` products of numbers up to 2 have.
bool close(const Tensor& a, const std::vector<double>& b, double epsilon, int64_t terms) {
  return difference(a, from_vector(b, a.shape())) <= epsilon * 4 * static_cast<double>(terms);
}

void check_against_plain_loops(const Config& c, DType t) {
  Tensor x = sample(c.input(), 1, t).requires_grad_(), w = sample(c.weight(), 2, t).requires_grad_(), dy = sample(c.output(), 3, t);
  CAPTURE(name(t));
  CAPTURE(to_string(c.input()) + " " + to_string(c.weight()));
  Sums expected = plain_loops(c, x, w, dy);
  Tensor y = conv2d(x, w, {}, c.o);
  REQUIRE(y.shape() == c.output());
  auto d = grad({y}, {x, w}, {}, {dy});
  // 16-bit results are rounded once; the sums themselves are kept in f32.
  const double epsilon = t == f64 ? 0x1p-53 : 0x1p-24, once = t == bf16 ? 0x1p-8 : t == f16 ? 0x1p-11 : 0;
  auto agrees = [&](const Tensor& a, const std::vector<double>& b, int64_t terms) {
    return close(a, b, epsilon + once / static_cast<double>(terms), terms);
  };
  CHECK(agrees(y, expected.y, w.numel() / c.out));
  CHECK(agrees(d[0], expected.dx, w.numel() / (c.in / c.o.groups)));
  CHECK(agrees(d[1], expected.dw, dy.numel() / c.out));
}

}  // namespace

TEST_CASE("conv2d and its gradients agree with plain loops in every type") {
  for (DType t : {f64, f32, bf16, f16})
    for (const Config& c : configs()) check_against_plain_loops(c, t);
}

TEST_CASE("conv2d and its gradients in bf16 agree with plain loops on every instruction set") {
  using gemm::InstructionSet;
  const InstructionSet before = gemm::instruction_set();
  for (InstructionSet set : {InstructionSet::plain, InstructionSet::avx2, InstructionSet::avx512, InstructionSet::avx512bf16}) {
    if (set > before) continue;  // than the machine's best
    gemm::use_instruction_set(set);
    for (const Config& c : configs()) check_against_plain_loops(c, bf16);
  }
  gemm::use_instruction_set(before);
}

TEST_CASE("conv_transpose2d and its gradients agree with plain loops") {
  for (const Config& c : configs()) {
    // Its input has the shape of the convolution's output; the output padding restores the convolution's input.
    Shape out = c.output();
    auto left_over = [](int64_t size, int64_t places, int64_t stride, int64_t padding, int64_t dilation, int64_t kernel) {
      return size - ((places - 1) * stride - 2 * padding + dilation * (kernel - 1) + 1);
    };
    Size2 added{left_over(c.height, out[2], c.o.stride.height, c.o.padding.height, c.o.dilation.height, c.kh),
                left_over(c.width, out[3], c.o.stride.width, c.o.padding.width, c.o.dilation.width, c.kw)};
    Tensor y = sample(out, 1).requires_grad_(), w = sample(c.weight(), 2).requires_grad_(), dx = sample(c.input(), 3);
    CAPTURE(to_string(c.input()) + " " + to_string(c.weight()));
    Tensor x = conv_transpose2d(
        y, w, {}, {.stride = c.o.stride, .padding = c.o.padding, .output_padding = added, .dilation = c.o.dilation, .groups = c.o.groups});
    REQUIRE(x.shape() == c.input());
    CHECK(difference(x, from_vector(plain_loops(c, dx, w, y).dx, x.shape())) < 1e-11);
    auto d = grad({x}, {y, w}, {}, {dx});
    Sums expected = plain_loops(c, dx, w, y);
    CHECK(difference(d[0], from_vector(expected.y, y.shape())) < 1e-11);
    CHECK(difference(d[1], from_vector(expected.dw, w.shape())) < 1e-11);
  }
}

TEST_CASE("conv2d: bias, channels-last and other strides, no batch dimension") {
  Config c{2, 5, 6, 7, 4, 3, 3, {.padding = 1}};
  for (DType t : {f64, bf16}) {
    Tensor x = sample(c.input(), 1, t), w = sample(c.weight(), 2, t), b = sample({c.out}, 3, t);
    Tensor y = conv2d(x, w, b, c.o);
    if (t == f64) CHECK(difference(y, conv2d(x, w, {}, c.o) + reshape(b, {c.out, 1, 1})) < 1e-14);
    CHECK(same_bits(conv2d(channels_last(x), channels_last(w), b, c.o), y));
    CHECK(same_bits(conv2d(strided(x), strided(w), select(stack({b, b}, 1), 1, 1), c.o), y));
    CHECK(same_bits(conv2d(select(x, 0, 1), w, b, c.o), select(y, 0, 1)));
    CHECK(same_bits(conv2d(slice(x, 0, 1, 2), w, b, c.o), slice(y, 0, 1, 2)));
    CHECK(same_bits(conv2d(expand(slice(x, 0, 0, 1), {3, c.in, c.height, c.width}), w, b, c.o),
                    conv2d(clone(expand(slice(x, 0, 0, 1), {3, c.in, c.height, c.width})), w, b, c.o)));
  }
}

TEST_CASE("conv1d is conv2d of height 1") {
  Tensor x = sample({2, 6, 19}, 1), w = sample({4, 3, 4}, 2), b = sample({4}, 3);
  Tensor y = conv1d(x, w, b, {.stride = 2, .padding = 3, .dilation = 2, .groups = 2});
  Tensor image = conv2d(unsqueeze(x, 2), unsqueeze(w, 2), b, {.stride = {1, 2}, .padding = {0, 3}, .dilation = {1, 2}, .groups = 2});
  CHECK(same_bits(y, squeeze(image, 2)));
  CHECK(same_bits(conv1d(select(x, 0, 0), w, b, {.groups = 2}), select(conv1d(x, w, b, {.groups = 2}), 0, 0)));
  Tensor v = sample({6, 2, 3}, 4);
  CHECK(same_bits(
      conv_transpose1d(x, v, {}, {.stride = 3, .padding = 1, .output_padding = 2}),
      squeeze(conv_transpose2d(unsqueeze(x, 2), unsqueeze(v, 2), {}, {.stride = {1, 3}, .padding = {0, 1}, .output_padding = {0, 2}}), 2)));
}

TEST_CASE("conv: same padding keeps the size, the odd place at the end") {
  Tensor x = sample({1, 1, 5, 6}, 1), w = sample({1, 1, 2, 3}, 2);
  Tensor y = conv2d(x, w, {}, {.dilation = {1, 2}, .same = true});
  CHECK(y.shape() == x.shape());
  CHECK(difference(y, conv2d(pad(x, {2, 2, 0, 1}), w, {}, {.dilation = {1, 2}})) < 1e-15);
  CHECK(conv1d(sample({2, 3, 9}, 1), sample({4, 3, 4}, 2), {}, {.same = true}).shape() == Shape{2, 4, 9});
}

TEST_CASE("conv: padding modes") {
  Tensor x = sample({2, 3, 5, 6}, 1), w = sample({4, 3, 3, 3}, 2);
  for (PadMode mode : {PadMode::reflect, PadMode::replicate, PadMode::circular})
    CHECK(same_bits(conv2d(x, w, {}, {.padding = {1, 2}, .padding_mode = mode}), conv2d(pad(x, {2, 2, 1, 1}, mode), w)));
}

TEST_CASE("pad: what each mode puts outside") {
  Tensor x = tensor({1, 2, 3});
  CHECK(to_vector(pad(x, {2, 1}, PadMode::constant, 9)) == std::vector<double>{9, 9, 1, 2, 3, 9});
  CHECK(to_vector(pad(x, {2, 1}, PadMode::reflect)) == std::vector<double>{3, 2, 1, 2, 3, 2});
  CHECK(to_vector(pad(x, {4, 1}, PadMode::replicate)) == std::vector<double>{1, 1, 1, 1, 1, 2, 3, 3});
  CHECK(to_vector(pad(x, {2, 3}, PadMode::circular)) == std::vector<double>{2, 3, 1, 2, 3, 1, 2, 3});
  CHECK(to_vector(pad(x, {-1, 1})) == std::vector<double>{2, 3, 0});
  CHECK(pad(x, {2, 2}).dtype() == i64);
  Tensor m = pad(tensor({{1, 2}, {3, 4}}), {1, 0, 0, 2}, PadMode::constant, -1);
  CHECK(to_vector(m) == std::vector<double>{-1, 1, 2, -1, 3, 4, -1, -1, -1, -1, -1, -1});
  CHECK(pad(zeros({0, 2}), {1, 1, 3, 0}).shape() == Shape{3, 4});
  CHECK(pad(zeros({0, 2}), {1, 1}, PadMode::reflect).shape() == Shape{0, 4});
}

TEST_CASE("pad: what does not fit is named") {
  Tensor x = zeros({2, 3});
  CHECK_THROWS_WITH_AS(pad(x, {3, 0}, PadMode::reflect), "pad: reflect padding (3, 0) needs a larger dimension 1: the input is [2, 3]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(pad(x, {0, 4}, PadMode::circular), "pad: circular padding (0, 4) needs a larger dimension 1: the input is [2, 3]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(pad(zeros({0}), {1, 0}, PadMode::replicate),
                       "pad: replicate padding (1, 0) needs a larger dimension 0: the input is [0]", ShapeError);
  CHECK_THROWS_WITH_AS(pad(x, {-2, -2}), "pad: (-2, -2) cuts off more than dimension 1 of [2, 3] has", ShapeError);
  CHECK_THROWS_WITH_AS(pad(x, {1}), "pad: takes pairs of numbers, got 1", ValueError);
  CHECK_THROWS_WITH_AS(pad(x, {0, 0, 0, 0, 1, 1}), "pad: 3 pairs for the 2 dimensions of [2, 3]", ValueError);
}

TEST_CASE("conv: the same bits with 1, 2, 3 and 8 threads") {
  int before = num_threads();
  for (const Config& c : configs()) {
    std::vector<Tensor> first;
    for (int threads : {1, 2, 3, 8}) {
      set_num_threads(threads);
      Tensor x = sample(c.input(), 1, f32).requires_grad_(), w = sample(c.weight(), 2, f32).requires_grad_();
      Tensor y = conv2d(x, w, {}, c.o);
      auto result = gradients(y, {x, w}, false);
      result.push_back(y);
      if (first.empty()) first = result;
      for (size_t i = 0; i < result.size(); ++i) CHECK(same_bits(result[i], first[i]));
    }
  }
  set_num_threads(before);
}

TEST_CASE("conv: an empty batch and no channels") {
  Tensor x = zeros({0, 3, 5, 5}).requires_grad_(), w = sample({4, 3, 3, 3}, 1, f32).requires_grad_(), b = zeros({4}).requires_grad_();
  Tensor y = conv2d(x, w, b);
  CHECK(y.shape() == Shape{0, 4, 3, 3});
  auto d = gradients(y, {x, w, b}, false);
  CHECK(d[0].shape() == x.shape());
  CHECK(difference(d[1], zeros(w.shape())) == 0);
  CHECK(difference(d[2], zeros({4})) == 0);
  CHECK(conv_transpose2d(zeros({0, 3, 2, 2}), zeros({3, 2, 2, 2})).shape() == Shape{0, 2, 3, 3});
  CHECK(conv2d(zeros({2, 3, 4, 4}), zeros({0, 3, 2, 2})).shape() == Shape{2, 0, 3, 3});
}

TEST_CASE("conv2d: autocast computes in 16 bits and gives gradients in f32") {
  Tensor x = sample({2, 3, 5, 5}, 1, f32).requires_grad_(), w = sample({4, 3, 3, 3}, 2, f32).requires_grad_(), y;
  {
    Autocast on(bf16);
    y = conv2d(x, w);
  }
  CHECK(y.dtype() == bf16);
  CHECK(difference(y, conv2d(to(x, bf16), to(w, bf16))) == 0);
  CHECK(gradients(y, {x, w}, false)[1].dtype() == f32);
}

TEST_CASE("autocast: takes bf16, f16 and f32") {
  CHECK_THROWS_WITH_AS(Autocast{i64}, "autocast: takes bf16, f16 or f32, not i64", DTypeError);
  CHECK_THROWS_AS(Autocast{f64}, DTypeError);
  CHECK(Autocast::type() == f32);
}

TEST_CASE("conv: what does not fit is named") {
  Tensor x = zeros({1, 4, 5, 6}), w = zeros({6, 4, 3, 3});
  CHECK_THROWS_WITH_AS(conv2d(x, zeros({6, 3, 3, 3})), "conv2d: 1 group and 4 channels do not fit: input [1, 4, 5, 6], weight [6, 3, 3, 3]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(conv2d(x, zeros({5, 2, 3, 3}), {}, {.groups = 2}),
                       "conv2d: 2 groups and 4 channels do not fit: input [1, 4, 5, 6], weight [5, 2, 3, 3]", ShapeError);
  CHECK_THROWS_WITH_AS(
      conv2d(x, zeros({6, 4, 6, 3})),
      "conv2d: the kernel spans 6×3, the padded input 5×6: input [1, 4, 5, 6], weight [6, 4, 6, 3], padding 0×0, dilation 1×1", ShapeError);
  CHECK_THROWS_WITH_AS(conv1d(zeros({1, 2, 3}), zeros({2, 2, 3}), {}, {.dilation = 2}),
                       "conv1d: the kernel spans 5, the padded input 3: input [1, 2, 3], weight [2, 2, 3], padding 0, dilation 2",
                       ShapeError);
  CHECK_THROWS_WITH_AS(conv2d(x, w, zeros({4})), "conv2d: the bias must be [6], it is [4]", ShapeError);
  CHECK_THROWS_WITH_AS(conv2d(x, zeros({6, 4, 0, 3})), "conv2d: the kernel is empty: input [1, 4, 5, 6], weight [6, 4, 0, 3]", ShapeError);
  CHECK_THROWS_WITH_AS(
      conv2d(zeros({4, 5}), w),
      "conv2d: takes an input of [batch, channels, height, width] and a weight of rank 4: input [4, 5], weight [6, 4, 3, 3]", ShapeError);
  CHECK_THROWS_WITH_AS(conv2d(x, w, {}, {.stride = {0, 1}}), "conv2d: the stride must be at least 1, it is 0×1", ValueError);
  CHECK_THROWS_WITH_AS(conv2d(x, w, {}, {.padding = -1}), "conv2d: the padding must be at least 0, it is -1×-1", ValueError);
  CHECK_THROWS_WITH_AS(conv2d(x, w, {}, {.dilation = 0}), "conv2d: the dilation must be at least 1, it is 0×0", ValueError);
  CHECK_THROWS_WITH_AS(conv2d(x, w, {}, {.groups = 0}), "conv2d: groups must be at least 1, it is 0", ValueError);
  CHECK_THROWS_WITH_AS(conv2d(x, w, {}, {.stride = 2, .same = true}), "conv2d: same padding needs a stride of 1, it is 2×2", ValueError);
  CHECK_THROWS_WITH_AS(conv2d(x, to(w, f64)), "conv2d: takes floating tensors of one type, got f32 and f64", DTypeError);
  CHECK_THROWS_WITH_AS(conv_transpose2d(x, w),
                       "conv_transpose2d: 1 group and 4 channels do not fit: input [1, 4, 5, 6], weight [6, 4, 3, 3]", ShapeError);
  CHECK_THROWS_WITH_AS(conv_transpose1d(zeros({1, 2, 3}), zeros({2, 2, 3}), {}, {.stride = 2, .output_padding = 2}),
                       "conv_transpose1d: the output padding 2 must be below the stride 2 or the dilation 1", ValueError);
  CHECK_THROWS_WITH_AS(conv_transpose2d(zeros({1, 2, 1, 1}), zeros({2, 2, 1, 1}), {}, {.padding = 1}),
                       "conv_transpose2d: the result would be -1×-1: input [1, 2, 1, 1], weight [2, 2, 1, 1], stride 1×1, padding 1×1",
                       ShapeError);
}
