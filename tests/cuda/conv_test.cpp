// Convolutions on the device against the CPU in f64.
#include "ops/conv.h"

#include <doctest/doctest.h>

#include "engine/core/channels_last.h"
#include "ops/conv3d.h"
#include "ops/kernels/conv.h"
#include "ops/shape.h"
#include "tests/cuda/compare.h"

using namespace plumb;
using namespace plumb::testing;

namespace {

struct Case {
  const char* what;
  Shape input, weight;
  Conv2dOptions options;
};

// The three kernels themselves: a convolution, its adjoint and the weight's sum, [places or input, input or places, weight]. Results are
// row-major or have `last` channels last.
std::vector<Tensor> three_kernels(const Case& c, const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& bias_of_adjoint,
                                  const Shape& places, bool last = false) {
  const Conv2dOptions& o = c.options;
  const ConvGeometry g{
      {o.stride.height, o.stride.width}, {o.padding.height, o.padding.width}, {o.dilation.height, o.dilation.width}, o.groups};
  Tensor y = empty_in_order(places, x.dtype(), x.device(), "y", last), dx = empty_in_order(x.shape(), x.dtype(), x.device(), "dx", last),
         dw = empty_in_order(w.shape(), x.dtype(), x.device(), "dw", last);
  kernel::conv(x.device(), x, w, bias, g, y);
  kernel::conv_transpose(x.device(), y, w, bias_of_adjoint, g, dx);
  kernel::conv_weight(x.device(), y, x, g, dw);
  return {y, dx, dw};
}

double tolerance(DType type) { return type == f64 ? 1e-12 : type == f32 ? 1e-5 : 4 * epsilon(type); }

const std::vector<Case>& cases() {
  static const std::vector<Case> all{
      {"plain", {2, 5, 9, 8}, {70, 5, 3, 3}, {.padding = 1}},
      {"many places", {2, 8, 20, 21}, {6, 8, 1, 1}, {}},
      {"strided", {1, 6, 11, 10}, {8, 6, 3, 2}, {.stride = {2, 3}, .padding = {1, 2}}},
      {"dilated", {2, 5, 12, 9}, {9, 5, 3, 3}, {.stride = 2, .padding = 2, .dilation = {2, 3}}},
      {"groups", {2, 10, 7, 6}, {14, 5, 3, 3}, {.padding = 1, .groups = 2}},
      {"depthwise", {2, 7, 13, 11}, {7, 1, 3, 3}, {.padding = 1, .groups = 7}},
      {"depthwise, two results, strided", {3, 4, 12, 10}, {8, 1, 5, 5}, {.stride = 2, .padding = 2, .groups = 4}},
      {"few channels a group, dilated", {1, 6, 9, 9}, {9, 2, 2, 3}, {.padding = 2, .dilation = 2, .groups = 3}},
      {"one place, skipping some", {2, 6, 8, 10}, {16, 6, 1, 1}, {.stride = {2, 3}}},
      {"a kernel of the image's size", {2, 3, 5, 4}, {6, 3, 5, 4}, {}},
  };
  return all;
}

}  // namespace

TEST_CASE("conv: the convolution, its adjoint and the weight's sum equal the CPU's for every type and geometry") {
  for (const Case& c : cases())
    for (DType type : {f64, f32, bf16, f16}) {
      const Tensor x = noise(c.input, type, 1), w = noise(c.weight, type, 2), bias = noise({c.weight[0]}, type, 3),
                   adjoint = noise({c.input[1]}, type, 4);
      const Shape places = conv2d(to(x, f32), to(w, f32), {}, c.options).shape();
      const std::vector<Tensor> got = three_kernels(c, to_gpu(x), to_gpu(w), to_gpu(bias), to_gpu(adjoint), places);
      const std::vector<Tensor> whole = three_kernels(c, to(x, f64), to(w, f64), to(bias, f64), to(adjoint, f64), places);
      CHECK_MESSAGE(distance(got[0], whole[0]) <= tolerance(type), c.what << " " << name(type));
      CHECK_MESSAGE(distance(got[1], whole[1]) <= tolerance(type), c.what << ", adjoint, " << name(type));
      CHECK_MESSAGE(distance(got[2], whole[2]) <= tolerance(type), c.what << ", weight, " << name(type));
    }
}

TEST_CASE("conv: inputs of any strides, and inputs, weights and results with channels last") {
  for (const Case& c : cases())
    for (DType type : {f32, bf16}) {
      const Tensor x = noise(c.input, type, 1), w = noise(c.weight, type, 2), bias = noise({c.weight[0]}, type, 3);
      const Tensor x_last = dense_data(to_gpu(x), true), w_last = dense_data(to_gpu(w), true);
      const Tensor turned = transpose(contiguous(transpose(to_gpu(x), 0, 3)), 0, 3);
      const Shape places = conv2d(x, w, {}, c.options).shape();
      const std::vector<Tensor> expected = three_kernels(c, to(x, f64), to(w, f64), to(bias, f64), {}, places);
      for (bool last : {false, true})
        for (const std::vector<Tensor>& got : {three_kernels(c, x_last, w_last, to_gpu(bias), {}, places, last),
                                               three_kernels(c, to_gpu(x), w_last, to_gpu(bias), {}, places, last),
                                               three_kernels(c, turned, to_gpu(w), to_gpu(bias), {}, places, last)})
          for (size_t i = 0; i < got.size(); ++i) {
            CHECK(is_dense(got[i], last));
            CHECK_MESSAGE(distance(got[i], expected[i]) <= tolerance(type), c.what << " " << i);
          }
    }
}

TEST_CASE("conv: nothing to do, and nothing to sum") {
  const Tensor w = noise({4, 3, 3, 3}, f32, 1);
  CHECK(to_cpu(conv2d(to_gpu(noise({0, 3, 5, 5}, f32, 2)), to_gpu(w), {})).shape() == Shape{0, 4, 3, 3});
  for (const Shape& weight : {Shape{4, 3, 3, 3}, Shape{3, 1, 3, 3}}) {
    const ConvGeometry g{.groups = 3 / weight[1]};
    Tensor sum = to_gpu(noise(weight, f32, 3));
    kernel::conv_weight(kGpu, empty({0, weight[0], 3, 3}, f32, kGpu), empty({0, 3, 5, 5}, f32, kGpu), g, sum);
    for (double v : to_vector(to_cpu(sum))) CHECK(v == 0);
  }
}

TEST_CASE("conv: sums cut into chunks give the same bits every time") {
  for (const Shape& weight : {Shape{5, 8, 3, 3}, Shape{8, 1, 3, 3}}) {
    const Case c{"", {4, 8, 40, 41}, weight, {.groups = 8 / weight[1]}};
    const Tensor x = to_gpu(noise(c.input, f32, 1)), w = to_gpu(noise(weight, f32, 2));
    const Shape places{4, weight[0], 38, 39};
    const std::vector<Tensor> first = three_kernels(c, x, w, {}, {}, places), second = three_kernels(c, x, w, {}, {}, places);
    for (size_t i = 0; i < first.size(); ++i) CHECK(same(to_cpu(first[i]), to_cpu(second[i])));
    const std::vector<Tensor> expected = three_kernels(c, to_cpu(x), to_cpu(w), {}, {}, places);
    for (size_t i = 0; i < first.size(); ++i) CHECK(distance(first[i], expected[i]) <= tolerance(f32));
  }
}

TEST_CASE("conv: the operations and their gradients, in one, two and three dimensions") {
  for (DType type : {f32, bf16}) {
    const Function one = [](const std::vector<Tensor>& x) -> std::vector<Tensor> {
      return {conv1d(x[0], x[1], {}, {.stride = 2, .padding = 1})};
    };
    CHECK(distance_from_cpu(one, {noise({2, 3, 15}, type, 1), noise({4, 3, 3}, type, 2)}, type) <= 2 * tolerance(type));
    const Function two = [](const std::vector<Tensor>& x) -> std::vector<Tensor> {
      return {conv_transpose2d(x[0], x[1], {}, {.stride = 2, .padding = 1, .output_padding = 1})};
    };
    CHECK(distance_from_cpu(two, {noise({2, 6, 5, 4}, type, 1), noise({6, 5, 3, 3}, type, 2)}, type) <= 2 * tolerance(type));
    const Function three = [](const std::vector<Tensor>& x) -> std::vector<Tensor> { return {conv3d(x[0], x[1], {}, {.padding = 1})}; };
    CHECK(distance_from_cpu(three, {noise({1, 2, 4, 5, 3}, type, 1), noise({3, 2, 3, 3, 3}, type, 2)}, type) <= 2 * tolerance(type));
  }
}
