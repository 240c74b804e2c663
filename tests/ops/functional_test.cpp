// Derivatives as functions, against closed forms and against each other.
#include "ops/functional.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "ops/elementary.h"
#include "ops/gradcheck.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/ops/samples.h"

using namespace plumb;
using plumb::test::difference;
using plumb::test::sample;

namespace {

using Values = std::vector<double>;

// f(x, y) = (x sin y, Σ x y²)
std::vector<Tensor> two_outputs(const Tensor& x, const Tensor& y) { return {x * sin(y), sum(x * square(y))}; }
Tensor energy(const Tensor& x, const Tensor& y) { return sum(x * x * sin(y)) + sum(exp(x * 0.3)) * sum(y); }

}  // namespace

TEST_CASE("vjp: outputs and gradients for given vectors") {
  Tensor x = sample({3}, 1), y = sample({3}, 2), u = sample({3}, 3);
  auto r = vjp(two_outputs, {x, y}, {u, scalar_tensor(1.5, f64)});
  CHECK(difference(r.outputs[0], x * sin(y)) < 1e-15);
  CHECK(difference(r.products[0], u * sin(y) + square(y) * 1.5) < 1e-14);
  CHECK(difference(r.products[1], u * x * cos(y) + x * y * 3.0) < 1e-14);
  CHECK_FALSE(r.outputs[0].requires_grad());
  CHECK_FALSE(r.products[0].requires_grad());
  auto single = vjp([](const Tensor& a) { return sum(a * a); }, {x});
  CHECK(difference(single.products[0], x * 2.0) < 1e-15);
}

TEST_CASE("jvp: agrees with differences along the direction, and with the Jacobian") {
  Tensor x = sample({3}, 1), y = sample({3}, 2), dx = sample({3}, 4), dy = sample({3}, 5);
  auto r = jvp(two_outputs, {x, y}, {dx, dy});
  double h = 1e-6;
  auto above = two_outputs(x + dx * h, y + dy * h), below = two_outputs(x - dx * h, y - dy * h);
  for (size_t k = 0; k < 2; ++k) CHECK(difference(r.products[k], (above[k] - below[k]) / (2 * h)) < 1e-8);
  auto j = jacobian(two_outputs, {x, y});
  CHECK(j[0][0].shape() == Shape{3, 3});
  CHECK(j[1][1].shape() == Shape{3});
  CHECK(difference(r.products[0], matmul(j[0][0], dx) + matmul(j[0][1], dy)) < 1e-14);
  CHECK(difference(r.products[1], sum(j[1][0] * dx) + sum(j[1][1] * dy)) < 1e-14);
}

TEST_CASE("jvp: zero for outputs that do not depend on the inputs, through linear functions, and for integer outputs") {
  Tensor x = sample({2}, 1), v = sample({2}, 2), constant = ones({4}, f64);
  auto r = jvp([&](const Tensor& a) { return std::vector<Tensor>{constant * 2.0, a * 3.0, to(a > 0, i64)}; }, {x}, {v});
  CHECK(to_vector(r.products[0]) == Values(4, 0.0));
  CHECK(difference(r.products[1], v * 3.0) == 0);
  CHECK(to_vector(r.products[2]) == Values(2, 0.0));
}

TEST_CASE("jacobian: closed forms, higher ranks, no elements") {
  Tensor x = sample({2, 3}, 7), j = jacobian([](const Tensor& a) { return sum(square(a), {1}); }, x);
  CHECK(j.shape() == Shape{2, 2, 3});
  CHECK(difference(select(select(j, 0, 0), 0, 0), select(x, 0, 0) * 2.0) < 1e-15);
  CHECK(sum(abs(select(select(j, 0, 0), 0, 1))).item() == 0);
  CHECK(jacobian([](const Tensor& a) { return a * 2.0; }, empty({0, 3}, f64)).shape() == Shape{0, 3, 0, 3});
  CHECK_THROWS_WITH_AS(jacobian(
                           [](const Tensor& a) {
                             return std::vector<Tensor>{a, a};
                           },
                           x),
                       "jacobian: the function has 2 outputs; give its input as a vector", ShapeError);
}

TEST_CASE("hessian and hvp: symmetric, agree with each other and with the closed form") {
  Tensor x = sample({3}, 8), y = sample({3}, 9), u = sample({3}, 10), w = sample({3}, 11);
  auto h = hessian(energy, {x, y});
  CHECK(difference(h[0][1], mT(h[1][0])) < 1e-14);
  CHECK(difference(diagonal(h[1][1]), neg(x * x * sin(y))) < 1e-14);
  auto r = hvp(energy, {x, y}, {u, w});
  CHECK(difference(r.products[0], matmul(h[0][0], u) + matmul(h[0][1], w)) < 1e-13);
  CHECK(difference(r.products[1], matmul(h[1][0], u) + matmul(h[1][1], w)) < 1e-13);
  CHECK(difference(r.outputs[0], energy(x, y)) < 1e-15);
  Tensor a = sample({2, 2}, 12), quadratic = hessian([&](const Tensor& z) { return sum(matmul(a, z) * z); }, sample({2}, 13));
  CHECK(difference(quadratic, a + mT(a)) < 1e-14);
  Tensor linear = hessian([](const Tensor& z) { return sum(z); }, x);
  CHECK(to_vector(linear) == Values(9, 0.0));
}

TEST_CASE("per_sample_grad: the gradients of each sample alone") {
  Tensor x = sample({4, 3}, 14), target = sample({4, 2}, 15), w = sample({3, 2}, 16), b = sample({2}, 17);
  auto losses = [&](const Tensor& weight, const Tensor& bias) {
    Tensor y = tanh(squeeze(matmul(unsqueeze(x, 1), weight), 1) + bias);
    return sum(square(y - target), {1});
  };
  auto g = per_sample_grad(losses, {w, b}, 4);
  CHECK(g[0].shape() == Shape{4, 3, 2});
  CHECK(g[1].shape() == Shape{4, 2});
  for (int64_t i = 0; i < 4; ++i) {
    auto one = [&](const Tensor& weight, const Tensor& bias) {
      return sum(square(tanh(matmul(select(x, 0, i), weight) + bias) - select(target, 0, i)));
    };
    auto r = vjp(one, {w, b});
    CHECK(difference(select(g[0], 0, i), r.products[0]) < 1e-14);
    CHECK(difference(select(g[1], 0, i), r.products[1]) < 1e-14);
  }
  CHECK_THROWS_WITH_AS(per_sample_grad([](const Tensor& p) { return sum(p); }, {w}, 4),
                       "per_sample_grad: the losses must be [4], they are []", ShapeError);
}

TEST_CASE("functional: with create_graph results can be differentiated again, in the inputs and in what was captured") {
  Tensor x = sample({3}, 18), scale = sample({3}, 19);
  TensorFunction penalty = [](const Tensor& a, const Tensor& s) {
    auto f = [&](const Tensor& z) { return sum(sin(z * s) * z); };
    FunctionalOptions graph{.create_graph = grad_enabled()};
    Tensor v = ones({3}, f64);
    return std::vector<Tensor>{vjp(f, {a}, {}, graph).products[0], jvp(f, {a}, {v}, graph).products[0], hvp(f, {a}, {v}, graph).products[0],
                               sum(square(hessian(f, a, graph)))};
  };
  CHECK_MESSAGE(gradcheck(penalty, {x, scale}).passed, gradcheck(penalty, {x, scale}).message);
  CHECK_MESSAGE(gradgradcheck(penalty, {x, scale}).passed, gradgradcheck(penalty, {x, scale}).message);
}

TEST_CASE("functional: leaves grad() of captured and given tensors alone, and works under NoGrad") {
  Tensor x = sample({3}, 20).requires_grad_(), w = sample({3}, 21).requires_grad_();
  NoGrad off;
  auto r = vjp([&](const Tensor& a) { return sum(a * a * w); }, {x});
  CHECK(difference(r.products[0], x * w * 2.0) < 1e-14);
  CHECK_FALSE(x.grad().defined());
  CHECK_FALSE(w.grad().defined());
  CHECK_FALSE(grad_enabled());
}

TEST_CASE("functional: what does not fit is named") {
  Tensor x = sample({3}, 22);
  auto square_sum = [](const Tensor& a) { return sum(a * a); };
  CHECK_THROWS_WITH_AS(vjp([](const Tensor& a) { return a * 2.0; }, {x}), "vjp: the function must have one output of one element",
                       ShapeError);
  CHECK_THROWS_WITH_AS(vjp(square_sum, {x}, {x}), "vjp: vector 0 is [3], of the outputs it is []", ShapeError);
  CHECK_THROWS_WITH_AS(jvp(square_sum, {x}, {}), "jvp: 0 vectors for 1 inputs", ShapeError);
  CHECK_THROWS_WITH_AS(hvp([](const Tensor& a) { return a * 2.0; }, {x}, {x}), "hvp: the function must have one output of one element",
                       ShapeError);
  CHECK_THROWS_WITH_AS(vjp(square_sum, {tensor({1, 2})}), "vjp: input 0 is i64; only floating tensors have derivatives", DTypeError);
}
