// apply: operations with a derivative of their own.
#include "engine/autograd/function.h"

#include <doctest/doctest.h>

#include "engine/autograd/backward.h"
#include "ops/elementary.h"
#include "ops/gradcheck.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;

namespace {

using Values = std::vector<double>;

Tensor cube(const Tensor& x) {
  return apply("cube", {x}, [](const std::vector<Tensor>& in) { return in[0] * in[0] * in[0]; },
               [](const BackwardContext& c) -> Grads { return c.gradient() * square(c.input()) * 3; });
}

// Two outputs, the derivative from outputs only: a = eˣʸ, b = x.
std::vector<Tensor> pair(const Tensor& x, const Tensor& y) {
  return apply("pair", {x, y}, [](const std::vector<Tensor>& in) { return std::vector<Tensor>{exp(in[0] * in[1]), in[0]}; },
               [](const BackwardContext& c) -> Grads {
                 Tensor common = c.gradient(0) * c.output(0);
                 return {common * c.input(1) + c.gradient(1), c.needs(1) ? common * c.output(1) : Tensor()};
               });
}

}  // namespace

TEST_CASE("apply: values, first and second derivatives, one output or several") {
  Tensor x = tensor({0.5, -1.0, 2.0}, f64), y = tensor({1.5, 0.3, -0.7}, f64);
  CHECK(to_vector(cube(x)) == Values{0.125, -1, 8});
  for (auto& result : {gradcheck(cube, {x}), gradgradcheck(cube, {x}), gradcheck(pair, {x, y}), gradgradcheck(pair, {x, y})})
    CHECK_MESSAGE(result.passed, result.message);
}

TEST_CASE("apply: forward runs outside the graph, and its output is no alias of an input") {
  Tensor x = tensor({1.0, 2.0}, f64).requires_grad_();
  Tensor y = apply("reversed_gradient", {x}, [](const std::vector<Tensor>& in) {
    CHECK_FALSE(grad_enabled());
    CHECK_FALSE(in[0].requires_grad());
    return reshape(in[0], {2, 1});
  }, [](const BackwardContext& c) -> Grads { return reshape(-c.gradient(), {2}); }, Keep::none);
  CHECK(y.raw_data() != x.raw_data());
  sum(y).backward();
  CHECK(to_vector(x.grad()) == Values{-1, -1});
}

TEST_CASE("apply: the derivative may hold what it wants, and sees only what was kept") {
  Tensor x = tensor({2.0}, f64).requires_grad_();
  auto scaled = [](const Tensor& in, double factor, Keep keep, bool ask_output) {
    return apply("scaled", {in}, [=](const std::vector<Tensor>& t) { return t[0] * factor; }, [=](const BackwardContext& c) -> Grads {
      return c.gradient() * factor + (ask_output ? c.output() : c.input()) * 0.0;
    }, keep);
  };
  CHECK(grad({scaled(x, 7, Keep::inputs, false)}, {x})[0].item() == 7);
  CHECK(grad({scaled(x, 7, Keep::outputs, true)}, {x})[0].item() == 7);
  CHECK_THROWS_WITH_AS(scaled(x, 7, Keep::inputs, true).backward(), "scaled: its outputs were not kept for backward", AutogradError);
  CHECK_THROWS_WITH_AS(scaled(x, 7, Keep::none, false).backward(), "scaled: its inputs were not kept for backward", AutogradError);
}

TEST_CASE("apply: wrong numbers and shapes of gradients are named; a changed input is noticed") {
  Tensor x = tensor({1.0, 2.0}, f64).requires_grad_();
  auto id = [](const std::vector<Tensor>& in) { return in[0] * 1.0; };
  Tensor two = apply("two", {x}, id, [](const BackwardContext& c) -> Grads { return {c.gradient(), c.gradient()}; });
  CHECK_THROWS_WITH_AS(sum(two).backward(), "backward: two gave 2 gradients for 1 inputs", AutogradError);
  Tensor wide = apply("wide", {x}, id, [](const BackwardContext&) -> Grads { return ones({3}, f64); });
  CHECK_THROWS_WITH_AS(sum(wide).backward(), "wide: the gradient of input 0 is [3], the input [2]", ShapeError);
  Tensor h = x * 1.0, y = cube(h);
  add_(h, 1.0);
  CHECK_THROWS_AS(sum(y).backward(), AutogradError);
}

TEST_CASE("apply: outputs without a value, and inputs and outputs that there are not, are named") {
  Tensor x = tensor({1.0, 2.0}, f64).requires_grad_();
  auto id = [](const std::vector<Tensor>& in) { return in[0] * 1.0; };
  auto nothing = [](const BackwardContext&) -> Grads { return {Tensor()}; };
  CHECK_THROWS_WITH_AS(apply("empty", {x}, [](const std::vector<Tensor>&) { return Tensor(); }, nothing),
                       "empty: output 0 of its forward has no value", AutogradError);
  auto asking = [&](auto&& ask) { return sum(apply("ask", {x}, id, [ask](const BackwardContext& c) -> Grads { return ask(c); })); };
  CHECK_THROWS_WITH_AS(asking([](const BackwardContext& c) { return c.gradient(3); }).backward(), "ask: there is no output 3, there are 1",
                       IndexError);
  CHECK_THROWS_WITH_AS(asking([](const BackwardContext& c) { return c.output(1); }).backward(), "ask: there is no output 1, there are 1",
                       IndexError);
  CHECK_THROWS_WITH_AS(asking([](const BackwardContext& c) { return c.input(1); }).backward(), "ask: there is no input 1, there are 1",
                       IndexError);
}

TEST_CASE("apply: without inputs that need gradients nothing is recorded") {
  CHECK_FALSE(cube(tensor({1.0})).requires_grad());
  NoGrad off;
  CHECK_FALSE(cube(tensor({1.0}).requires_grad_()).requires_grad());
}
