// Convolution of volumes and its adjoint against plain loops in f64; types, strides, errors.
#include "ops/conv3d.h"

#include <doctest/doctest.h>

#include <array>

#include "engine/autograd/autocast.h"
#include "engine/autograd/backward.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/ops/samples.h"

using namespace plumb;
using namespace plumb::test;

namespace {

struct Config {
  Shape x, weight;
  Conv3dOptions o;
};

std::vector<Config> configs() {
  return {
      {{2, 3, 4, 5, 6}, {4, 3, 3, 3, 3}, {.padding = 1}},
      {{1, 1, 1, 1, 1}, {1, 1, 1, 1, 1}, {}},
      {{2, 4, 5, 3, 4}, {6, 2, 2, 1, 3}, {.stride = {2, 1, 1}, .padding = {0, 1, 2}, .groups = 2}},
      {{1, 3, 7, 6, 5}, {3, 1, 3, 2, 2}, {.stride = {1, 3, 2}, .padding = {2, 0, 1}, .dilation = {2, 3, 1}, .groups = 3}},
      {{3, 2, 2, 9, 8}, {5, 2, 1, 3, 3}, {.stride = 2, .padding = {0, 1, 1}}},
  };
}

std::array<int64_t, 3> triple(const Size3& s) { return {s.depth, s.height, s.width}; }

// Calls f(at in y, at in x, at in weight) for every product that the sum has.
template <typename F>
Shape for_each_product(const Config& c, F&& f) {
  auto stride = triple(c.o.stride), padding = triple(c.o.padding), dilation = triple(c.o.dilation);
  Shape out{c.x[0], c.weight[0]};
  for (int d = 0; d < 3; ++d)
    out.push_back((c.x[2 + d] + 2 * padding[size_t(d)] - dilation[size_t(d)] * (c.weight[2 + d] - 1) - 1) / stride[size_t(d)] + 1);
  int64_t in_group = c.weight[1], out_group = c.weight[0] / c.o.groups;
  for (int64_t n = 0; n < out[0]; ++n)
    for (int64_t o = 0; o < out[1]; ++o)
      for (int64_t i = 0; i < out[2]; ++i)
        for (int64_t j = 0; j < out[3]; ++j)
          for (int64_t k = 0; k < out[4]; ++k)
            for (int64_t g = 0; g < in_group; ++g)
              for (int64_t p = 0; p < c.weight[2]; ++p)
                for (int64_t q = 0; q < c.weight[3]; ++q)
                  for (int64_t r = 0; r < c.weight[4]; ++r) {
                    int64_t d = i * stride[0] - padding[0] + p * dilation[0], h = j * stride[1] - padding[1] + q * dilation[1],
                            w = k * stride[2] - padding[2] + r * dilation[2];
                    if (d < 0 || d >= c.x[2] || h < 0 || h >= c.x[3] || w < 0 || w >= c.x[4]) continue;
                    int64_t channel = o / out_group * in_group + g;
                    f(static_cast<size_t>((((n * out[1] + o) * out[2] + i) * out[3] + j) * out[4] + k),
                      static_cast<size_t>((((n * c.x[1] + channel) * c.x[2] + d) * c.x[3] + h) * c.x[4] + w),
                      static_cast<size_t>((((o * in_group + g) * c.weight[2] + p) * c.weight[3] + q) * c.weight[4] + r));
                  }
  return out;
}

}  // namespace

TEST_CASE("conv3d: values and gradients as loops compute them, for any strides") {
  for (const Config& c : configs()) {
    CAPTURE(to_string(c.x));
    Tensor x = strided(sample(c.x, 1)).detach().requires_grad_(), w = strided(sample(c.weight, 2)).detach().requires_grad_(),
           b = sample({c.weight[0]}, 3).requires_grad_();
    Tensor y = conv3d(x, w, b, c.o), dy = sample(y.shape(), 4);
    std::vector<double> vx = to_vector(x), vw = to_vector(w), vdy = to_vector(dy), sums(vdy.size()), dx(vx.size()), dw(vw.size());
    Shape out = for_each_product(c, [&](size_t iy, size_t ix, size_t iw) {
      sums[iy] += vw[iw] * vx[ix];
      dx[ix] += vw[iw] * vdy[iy];
      dw[iw] += vdy[iy] * vx[ix];
    });
    REQUIRE(y.shape() == out);
    CHECK(y.is_contiguous());
    CHECK(difference(y, from_vector(sums, out) + reshape(b.detach(), {c.weight[0], 1, 1, 1})) < 1e-12);
    std::vector<Tensor> g = grad({y}, {x, w, b}, {}, {dy});
    CHECK(difference(g[0], from_vector(dx, c.x)) < 1e-12);
    CHECK(difference(g[1], from_vector(dw, c.weight)) < 1e-12);
    CHECK(difference(g[2], sum(dy, {0, 2, 3, 4})) < 1e-12);
  }
}

TEST_CASE("conv3d: the transposed convolution is the adjoint, entry by entry") {
  for (const Config& c : configs()) {
    CAPTURE(to_string(c.x));
    Tensor w = sample(c.weight, 2), b = sample({c.x[1]}, 3);
    Shape out = for_each_product(c, [](size_t, size_t, size_t) {});
    Tensor dy = strided(sample(out, 4));
    std::vector<double> vw = to_vector(w), vdy = to_vector(dy), dx(static_cast<size_t>(numel(c.x)));
    for_each_product(c, [&](size_t iy, size_t ix, size_t iw) { dx[ix] += vw[iw] * vdy[iy]; });
    // The size that the options lead back to: what of x was not read at the end is output padding.
    auto rest = [&](int d, int64_t stride, int64_t padding, int64_t dilation) {
      return (c.x[2 + d] + 2 * padding - dilation * (c.weight[2 + d] - 1) - 1) % stride;
    };
    Size3 more(rest(0, c.o.stride.depth, c.o.padding.depth, c.o.dilation.depth),
               rest(1, c.o.stride.height, c.o.padding.height, c.o.dilation.height),
               rest(2, c.o.stride.width, c.o.padding.width, c.o.dilation.width));
    Tensor y = conv_transpose3d(
        dy, w, b, {.stride = c.o.stride, .padding = c.o.padding, .output_padding = more, .dilation = c.o.dilation, .groups = c.o.groups});
    REQUIRE(y.shape() == c.x);
    CHECK(y.is_contiguous());
    CHECK(difference(y, from_vector(dx, c.x) + reshape(b, {c.x[1], 1, 1, 1})) < 1e-12);
  }
}

TEST_CASE("conv3d: types, autocast, a volume without a batch, and none at all") {
  Tensor x = sample({2, 3, 3, 4, 4}, 1, f32), w = sample({4, 3, 2, 3, 3}, 2, f32), exact = conv3d(to(x, f64), to(w, f64));
  CHECK(difference(to(conv3d(x, w), f64), exact) < 1e-5);
  Tensor half = conv3d(to(x, bf16), to(w, bf16));
  CHECK(half.dtype() == bf16);
  {
    Autocast on(bf16);
    CHECK(same_bits(conv3d(x, w), half));
  }
  CHECK(same_bits(conv3d(select(x, 0, 1), w), select(conv3d(x, w), 0, 1)));
  CHECK(conv_transpose3d(sample({4, 2, 2, 2}, 1, f32), w).shape() == Shape{3, 3, 4, 4});
  CHECK(conv3d(zeros({0, 3, 3, 4, 4}), w).shape() == Shape{0, 4, 2, 2, 2});
}

TEST_CASE("conv3d: what cannot be is named") {
  Tensor x = zeros({1, 4, 3, 3, 3}), w = zeros({2, 4, 2, 2, 2});
  CHECK_THROWS_WITH_AS(conv3d(zeros({3, 3, 3}), w),
                       "conv3d: takes x [N, C, D, H, W] or [C, D, H, W] and a weight of rank 5, not [3, 3, 3] and [2, 4, 2, 2, 2]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(conv3d(zeros({1, 3, 3, 3, 3}), w), "conv3d: x [1, 3, 3, 3, 3] does not fit the weight [2, 4, 2, 2, 2] in 1 group",
                       ShapeError);
  CHECK_THROWS_WITH_AS(conv3d(x, zeros({3, 2, 2, 2, 2}), {}, {.groups = 2}),
                       "conv3d: x [1, 4, 3, 3, 3] does not fit the weight [3, 2, 2, 2, 2] in 2 groups", ShapeError);
  CHECK_THROWS_WITH_AS(conv3d(x, w, zeros({3})), "conv3d: the bias is [3], not [2]", ShapeError);
  CHECK_THROWS_WITH_AS(conv3d(x, w, {}, {.stride = {0, 1, 1}}), "conv3d: the stride must be at least 1, it is (0, 1, 1)", ValueError);
  CHECK_THROWS_WITH_AS(conv3d(x, w, {}, {.groups = 0}), "conv3d: groups must be at least 1, it is 0", ValueError);
  CHECK_THROWS_WITH_AS(conv3d(x, zeros({2, 4, 5, 1, 1})),
                       "conv3d: a kernel [2, 4, 5, 1, 1] does not fit into the padded depth of x [1, 4, 3, 3, 3]", ShapeError);
  CHECK_THROWS_AS(conv3d(x, zeros({2, 4, 1, 5, 1})), ShapeError);
  CHECK_THROWS_AS(conv3d(zeros({1, 4, 3, 3, 3}, i64), w), DTypeError);
  CHECK_THROWS_WITH_AS(conv_transpose3d(x, zeros({4, 2, 2, 2, 2}), {}, {.output_padding = {1, 0, 0}}),
                       "conv_transpose3d: the output padding must be below the stride or the dilation, it is 1 along the depth",
                       ValueError);
  CHECK_THROWS_WITH_AS(conv_transpose3d(x, w), "conv_transpose3d: x [1, 4, 3, 3, 3] does not fit the weight [2, 4, 2, 2, 2] in 1 group",
                       ShapeError);
}
