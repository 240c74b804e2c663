// differentiate: derivatives by way of a formula, to any order, walking the formula's part of the graph only.
#include "ops/formula.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/autograd/backward.h"
#include "ops/elementary.h"
#include "ops/gradcheck.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"

using namespace plumb;

namespace {

// a sin(b) as an operation whose derivative is taken from its formula only.
Tensor by_formula(const Tensor& a, const Tensor& b) {
  TensorFunction formula = [](const Tensor& x, const Tensor& y) { return x * sin(y); };
  Tensor y = formula({a.detach(), b.detach()})[0];
  return record("by_formula", y, {a, b}, saving(a, b), [formula](const Grads& dy, const Saved& s, Needs needs) -> Grads {
    return differentiate(formula, {s[0], s[1]}, dy, needs);
  });
}

}  // namespace

TEST_CASE("differentiate: first, second and third derivatives") {
  Tensor a = tensor({0.5, -1.0, 2.0}, f64), b = tensor({0.1, 0.7, -1.3}, f64);
  CHECK(gradcheck(by_formula, {a, b}).passed);
  CHECK(gradgradcheck(by_formula, {a, b}).passed);
  TensorFunction gradient = [](const Tensor& x, const Tensor& y) {
    Tensor u = x * 1.0, v = y * 1.0;
    if (!u.requires_grad()) u.requires_grad_();
    if (!v.requires_grad()) v.requires_grad_();
    GradMode on(true);
    return grad({sum(by_formula(u, v))}, {u, v}, {.create_graph = true});
  };
  CHECK(gradgradcheck(gradient, {a, b}).passed);
}

TEST_CASE("differentiate: gives gradients of the needed inputs only") {
  Tensor x = tensor({2.0}, f64);
  Grads g = differentiate([](const Tensor& a, const Tensor& b) { return a * b; }, {x, x}, Grads(ones_like(x)), Needs(0b10));
  CHECK_FALSE(g[0].defined());
  CHECK(g[1].item() == 2);
  CHECK_FALSE(g[1].requires_grad());
}

TEST_CASE("differentiate: one tensor given twice gets two gradients") {
  Tensor x = tensor({3.0}, f64).requires_grad_();
  Tensor y = by_formula(x, x);
  Tensor g = grad({y}, {x}, {.create_graph = true})[0];
  CHECK(g.item() == doctest::Approx(std::sin(3.0) + 3 * std::cos(3.0)));
  CHECK(grad({g}, {x})[0].item() == doctest::Approx(2 * std::cos(3.0) - 3 * std::sin(3.0)));
}

TEST_CASE("differentiate: undefined inputs and gradients are left out") {
  Tensor x = tensor({2.0}, f64);
  TensorFunction f = [](const std::vector<Tensor>& in) { return std::vector<Tensor>{in[0] * 2.0, in[0] * in[0]}; };
  Grads dy{Tensor(), ones_like(x)};
  Grads g = differentiate(f, {x, Tensor()}, dy, Needs(0b11));
  CHECK(g[0].item() == 4);
  CHECK_FALSE(g[1].defined());
}

TEST_CASE("differentiate: a chain of n such operations takes time linear in n under create_graph") {
  // Walking the whole graph behind each would take n²/2 steps: minutes here instead of well under a second.
  Tensor x = tensor({0.3}, f64).requires_grad_(), y = x;
  for (int i = 0; i < 20000; ++i) y = by_formula(y, y) + 1;
  CHECK(grad({y}, {x}, {.create_graph = true})[0].defined());
}
