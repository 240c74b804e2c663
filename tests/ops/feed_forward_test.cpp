// The feed-forward network in one operation against its three: the same numbers and gradients; errors.
#include "ops/feed_forward.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/autograd/autocast.h"
#include "engine/autograd/grad_mode.h"
#include "ops/activation.h"
#include "ops/elementary.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;

namespace {

struct Network {
  Tensor x, up, up_bias, down, down_bias;
  explicit Network(DType t) {
    manual_seed(1);
    auto draw = [&](const Shape& s) { return randn(s, {.dtype = t}).requires_grad_(); };
    x = draw({2, 5, 7}), up = draw({9, 7}), up_bias = draw({9}), down = draw({6, 9}), down_bias = draw({6});
  }
  Tensor fused() const { return gelu_feed_forward(x, up, up_bias, down, down_bias); }
  Tensor plain() const { return linear(gelu(linear(x, up, up_bias), GeluForm::tanh), down, down_bias); }
  std::vector<std::vector<double>> gradients(const Tensor& y) const {
    for (const Tensor& t : {x, up, up_bias, down, down_bias}) t.zero_grad();
    sum(square(y)).backward();
    std::vector<std::vector<double>> all;
    for (const Tensor& t : {x, up, up_bias, down, down_bias}) all.push_back(to_vector(t.grad()));
    return all;
  }
};

}  // namespace

TEST_CASE("gelu_feed_forward: linear, gelu and linear, with their gradients") {
  for (DType t : {f64, f32}) {
    Network n(t);
    CHECK(to_vector(n.fused()) == to_vector(n.plain()));
    {
      NoGrad off;
      CHECK(to_vector(n.fused()) == to_vector(n.plain()));
    }
    auto a = n.gradients(n.fused()), b = n.gradients(n.plain());
    for (size_t i = 0; i < a.size(); ++i)
      for (size_t k = 0; k < a[i].size(); ++k)
        CHECK(std::abs(a[i][k] - b[i][k]) <=
              (t == f64 ? 1e-11 : 1e-3) * (1 + std::abs(b[i][k])));  // sums of up to 100 terms in another order
  }
}

TEST_CASE("gelu_feed_forward: 16-bit types round once after the activation; under autocast f32 is taken so") {
  Network n(f32);
  Tensor expected = n.plain();
  for (DType t : {bf16, f16}) {
    Autocast cast(t);
    Tensor y = n.fused();
    CHECK(y.dtype() == t);
    double largest = amax(abs(to(y, f32) - expected), {0, 1, 2}).item(), size = amax(abs(expected), {0, 1, 2}).item();
    CHECK(largest <= (t == bf16 ? 0x1p-8 : 0x1p-11) * 8 * size);
  }
}

TEST_CASE("gelu_feed_forward: no rows, and only what needs a gradient gets one") {
  Tensor up = zeros({4, 3}).requires_grad_(), down = zeros({2, 4});
  Tensor y = gelu_feed_forward(zeros({0, 3}), up, {}, down, {});
  CHECK(y.shape() == Shape{0, 2});
  sum(gelu_feed_forward(ones({2, 3}), up, {}, down, {})).backward();
  CHECK(up.grad().shape() == Shape{4, 3});
  CHECK_FALSE(down.grad().defined());
}

TEST_CASE("gelu_feed_forward: what does not fit is named") {
  Tensor x = zeros({2, 3}), up = zeros({4, 3}), down = zeros({2, 4});
  CHECK_THROWS_WITH_AS(gelu_feed_forward(zeros({2, 5}), up, {}, down, {}),
                       "gelu_feed_forward: takes x [.., in], up [inner, in] and down [out, inner], got [2, 5], up [4, 3], down [2, 4]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(gelu_feed_forward(x, up, zeros({3}), down, {}), "gelu_feed_forward: the bias of up must be [4], it is [3]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(gelu_feed_forward(x, up, {}, zeros({2, 4}, f64), {}),
                       "gelu_feed_forward: takes floating tensors of one type, got f32 and f64", DTypeError);
}
