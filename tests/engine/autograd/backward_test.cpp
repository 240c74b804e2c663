// The backward pass: accumulation, freeing, grad() and its options, hooks, modes, anomalies, errors.
#include "engine/autograd/backward.h"

#include <doctest/doctest.h>

#include <cmath>
#include <thread>

#include "engine/autograd/grad_mode.h"
#include "engine/autograd/record.h"
#include "engine/core/allocator.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;

namespace {

Tensor leaf(std::initializer_list<double> values) { return from_vector(std::vector<double>(values)).requires_grad_(); }
using Values = std::vector<double>;

}  // namespace

TEST_CASE("backward: adds to grad() of every leaf, pass after pass, until zero_grad") {
  Tensor a = leaf({1, 2}), b = leaf({3, 4});
  sum(a * b + a).backward();
  CHECK(to_vector(a.grad()) == Values{4, 5});
  CHECK(to_vector(b.grad()) == Values{1, 2});
  sum(a * 10.0).backward();
  CHECK(to_vector(a.grad()) == Values{14, 15});
  CHECK(to_vector(b.grad()) == Values{1, 2});
  a.zero_grad();
  CHECK_FALSE(a.grad().defined());
  CHECK_FALSE(a.grad().requires_grad());
}

TEST_CASE("backward: a gradient that reaches two leaves is not shared between them") {
  Tensor a = leaf({1}), b = leaf({2});
  (a + b).backward();
  sum(a).backward();
  CHECK(a.grad().item() == 2);
  CHECK(b.grad().item() == 1);
  Tensor given = tensor({5.0}, f64), c = leaf({1});
  (c + 0.0).backward(given);
  (c + 0.0).backward(given);
  CHECK(c.grad().item() == 10);
  CHECK(given.item() == 5);
}

TEST_CASE("backward: visits the latest operation first, whatever the order in which gradients arrive") {
  Tensor x = leaf({1});
  std::vector<int> visited;
  auto probe = [&](int id, const std::vector<Tensor>& inputs) {
    return record("probe", tensor({1.0}, f64), inputs, saving(),
                  [&visited, id, n = inputs.size()](const Grads& dy, const Saved&, Needs) -> Grads {
                    visited.push_back(id);
                    Grads all;
                    for (size_t i = 0; i < n; ++i) all.push_back(dy[0]);
                    return all;
                  });
  };
  Tensor a = probe(1, {x}), b = probe(2, {x}), c = probe(3, {a}), d = probe(4, {x}), e = probe(5, {d});
  probe(6, {b, d, a, e, c, x, b}).backward();
  CHECK(visited == std::vector<int>{6, 5, 4, 3, 2, 1});
  CHECK(x.grad().item() == 2 + 2 + 2 + 1);  // through d (twice), a (twice), b (twice), and directly
}

TEST_CASE("backward: of a leaf itself, of a tensor used many times, of a diamond") {
  Tensor x = leaf({3});
  x.backward();
  CHECK(x.grad().item() == 1);
  x.zero_grad();
  Tensor y = x * x, z = y * y + y * x;  // x⁴ + x³
  z.backward();
  CHECK(x.grad().item() == 4 * 27 + 3 * 9);
}

TEST_CASE("backward: several outputs at once, with gradients given") {
  Tensor x = leaf({1, 2});
  backward({x * 2.0, sum(x)}, {tensor({1.0, 10.0}, f64), Tensor()});
  CHECK(to_vector(x.grad()) == Values{3, 21});
}

TEST_CASE("backward: a graph can be used once, unless retained; what it saved is freed") {
  Tensor x = leaf({2}), y = x * x;
  y.backward({}, true);
  y.backward();
  CHECK(x.grad().item() == 8);
  CHECK_THROWS_WITH_AS(y.backward(),
                       "backward: what mul saved was freed by an earlier backward, which did not retain the graph (retain_graph)",
                       AutogradError);
  int64_t live = memory_stats(cpu).live;
  Tensor w = zeros({1000}, f64).requires_grad_(), s;
  {
    Tensor big = exp(w);
    s = sum(big * big);
  }
  CHECK(memory_stats(cpu).live > live + 2 * 8000);
  s.backward();
  w.zero_grad();
  CHECK(memory_stats(cpu).live < live + 8000 + 4096);
}

TEST_CASE("backward: what cannot be is refused by name") {
  Tensor x = leaf({1, 2}), plain = tensor({1.0});
  CHECK_THROWS_WITH_AS(plain.backward(), "backward: the output does not depend on a tensor that requires a gradient", AutogradError);
  CHECK_THROWS_WITH_AS(tensor({1}).backward(),
                       "backward: the output does not depend on a tensor that requires a gradient (integers have no derivative)",
                       AutogradError);
  CHECK_THROWS_WITH_AS((x * 2.0).backward(),
                       "backward: an output of shape [2] needs a gradient to start from; only one element has the gradient 1", ShapeError);
  CHECK_THROWS_WITH_AS((x * 2.0).backward(ones({3}, f64)), "backward: the gradient of an output has shape [3], its tensor [2]", ShapeError);
  CHECK_THROWS_WITH_AS((x * 2.0).backward(ones({2}, f32)), "backward: the gradient of an output is f32, its tensor f64", DTypeError);
  CHECK_THROWS_WITH_AS(backward({sum(x)}, {Tensor(), Tensor()}), "backward: 2 gradients for 1 outputs", ShapeError);
  CHECK_THROWS_WITH_AS(tensor({1, 2}).requires_grad_(), "requires_grad_: only floating tensors have gradients, this is i64", DTypeError);
  CHECK_THROWS_WITH_AS((x * 2.0).requires_grad_(false), "requires_grad_: only a leaf can give up its gradient; use detach()",
                       AutogradError);
  CHECK_THROWS_WITH_AS(x.set_grad(ones({3}, f64)), "set_grad: the gradient is [3], the tensor [2]", ShapeError);
  CHECK_THROWS_WITH_AS(x.set_grad(ones({2}, f32)), "set_grad: the gradient is f32, the tensor f64", DTypeError);
  CHECK_THROWS_WITH_AS(plain.register_hook([](const Tensor&) { return Tensor(); }), "register_hook: the tensor does not require a gradient",
                       AutogradError);
  CHECK_THROWS_WITH_AS(plain.retain_grad(), "retain_grad: the tensor does not require a gradient", AutogradError);
}

TEST_CASE("backward: an operation that gives the wrong number, shape or type of gradients is named") {
  Tensor x = leaf({1, 2});
  auto op = [&](auto derivative) { return sum(record("faulty", x.detach() * 1.0, {x}, saving(), derivative)); };
  CHECK_THROWS_WITH_AS(op([](const Grads&, const Saved&, Needs) -> Grads {
                         return {Tensor(), Tensor()};
                       }).backward(),
                       "backward: faulty gave 2 gradients for 1 inputs", AutogradError);
  CHECK_THROWS_WITH_AS(op([](const Grads&, const Saved&, Needs) -> Grads { return ones({3}, f64); }).backward(),
                       "backward: the gradient of a leaf has shape [3], its tensor [2]", ShapeError);
  CHECK_THROWS_WITH_AS(op([](const Grads&, const Saved&, Needs) -> Grads { return ones({2}, f32); }).backward(),
                       "backward: the gradient of a leaf is f32, its tensor f64", DTypeError);
}

TEST_CASE("backward: only what is needed is computed; an undefined gradient is zero") {
  Tensor a = leaf({1}), frozen = tensor({2.0}, f64), unused = leaf({3});
  bool needs_a = false, needs_frozen = true;
  Tensor y = record("probe", tensor({0.0}, f64), {a, frozen, unused}, saving(), [&](const Grads& dy, const Saved&, Needs needs) -> Grads {
    needs_a = needs[0];
    needs_frozen = needs[1];
    return {dy[0], Tensor(), Tensor()};
  });
  y.backward();
  CHECK(needs_a);
  CHECK_FALSE(needs_frozen);
  CHECK(a.grad().item() == 1);
  CHECK_FALSE(unused.grad().defined());
}

TEST_CASE("backward: several outputs of one operation; those without a gradient count as zero, integers as nothing") {
  Tensor x = leaf({1, 2});
  auto op = [&] {
    return record("split", std::array<Tensor, 3>{x.detach() * 2.0, x.detach() * 3.0, tensor({1, 2})}, {x}, saving(),
                  [](const Grads& dy, const Saved&, Needs) -> Grads { return dy[0] * 2.0 + dy[1] * 3.0; });
  };
  auto [a, b, index] = op();
  CHECK_FALSE(index.requires_grad());
  sum(a).backward();
  CHECK(to_vector(x.grad()) == Values{2, 2});
  x.zero_grad();
  auto both = op();
  sum(both[0] * both[1]).backward();
  CHECK(to_vector(x.grad()) == Values{12, 24});
}

TEST_CASE("grad: gives gradients of chosen inputs, leaves grad() alone, works for intermediate tensors") {
  Tensor x = leaf({2}), h = x * x, y = h * x;
  auto g = grad({y}, {h, x}, {.retain_graph = true});
  CHECK(g[0].item() == 2);
  CHECK(g[1].item() == 12);
  CHECK_FALSE(x.grad().defined());
  CHECK(grad({y}, {y}, {.retain_graph = true})[0].item() == 1);
  CHECK(grad({y, h}, {x}, {.retain_graph = true}, {Tensor(), tensor({10.0}, f64)})[0].item() == 52);
  CHECK(grad({y}, {x, x})[1].item() == 12);
}

TEST_CASE("grad: unused inputs are an error, or undefined if allowed; so are inputs without gradients") {
  Tensor x = leaf({2}), other = leaf({3}), y = x * x;
  CHECK_THROWS_WITH_AS(grad({y}, {x, other}, {.retain_graph = true}),
                       "grad: the outputs do not depend on input 1; pass allow_unused to get an undefined tensor for it", AutogradError);
  auto g = grad({y}, {x, other}, {.retain_graph = true, .allow_unused = true});
  CHECK(g[0].item() == 4);
  CHECK_FALSE(g[1].defined());
  CHECK_THROWS_WITH_AS(grad({y}, {tensor({1.0})}), "grad: an input of shape [1] does not require a gradient", AutogradError);
}

TEST_CASE("grad: does not compute what does not lead to an input") {
  Tensor x = leaf({2}), other = leaf({3});
  bool visited = false;
  Tensor side = record("side", tensor({1.0}, f64), {other}, saving(), [&](const Grads& dy, const Saved&, Needs) -> Grads {
    visited = true;
    return dy[0];
  });
  CHECK(grad({x * side}, {x})[0].item() == 1);
  CHECK_FALSE(visited);
}

TEST_CASE("create_graph: derivatives of any order") {
  Tensor x = leaf({0.7}), y = sin(x) * x, d = y;
  double expected[] = {std::cos(0.7) * 0.7 + std::sin(0.7), 2 * std::cos(0.7) - 0.7 * std::sin(0.7),
                       -3 * std::sin(0.7) - 0.7 * std::cos(0.7), -4 * std::cos(0.7) + 0.7 * std::sin(0.7)};
  for (double e : expected) {
    d = grad({d}, {x}, {.create_graph = true})[0];
    CHECK(d.item() == doctest::Approx(e).epsilon(1e-12));
  }
  Tensor w = leaf({2});
  (w * w * w).backward({}, false, true);
  Tensor g = w.grad();
  w.zero_grad();
  CHECK(g.requires_grad());
  g.backward();
  CHECK(w.grad().item() == 12);
}

TEST_CASE("create_graph: the gradient given is a variable too") {
  Tensor x = leaf({2}), v = leaf({3});
  Tensor g = grad({x * x}, {x}, {.create_graph = true}, {v})[0];
  CHECK(grad({g}, {v})[0].item() == 4);
}

TEST_CASE("hooks: on an intermediate tensor they see and may replace its whole gradient, in order") {
  Tensor x = leaf({2}), h = x * 3.0;
  std::vector<double> seen;
  h.register_hook([&](const Tensor& g) {
    seen.push_back(g.item());
    return g * 10.0;
  });
  h.register_hook([&](const Tensor& g) {
    seen.push_back(g.item());
    return Tensor();
  });
  (h * h + h).backward();
  CHECK(seen == Values{13, 130});
  CHECK(x.grad().item() == 390);
}

TEST_CASE("hooks: on a leaf they see the whole gradient of a pass, once, before it is added to grad()") {
  Tensor x = leaf({2});
  int calls = 0;
  x.register_hook([&](const Tensor& g) {
    ++calls;
    return clamp(g, -5.0, 5.0);
  });
  (x * x + x * 3.0 + x).backward();  // 2x + 4 = 8
  CHECK(calls == 1);
  CHECK(x.grad().item() == 5);
  (x * 2.0).backward();
  CHECK(x.grad().item() == 7);
  CHECK(grad({x * x * x}, {x})[0].item() == 5);
}

TEST_CASE("hooks: run on wanted intermediates of grad() as well") {
  Tensor x = leaf({2}), h = x * 3.0;
  h.register_hook([](const Tensor& g) { return g * 2.0; });
  auto g = grad({h * h}, {h, x});
  CHECK(g[0].item() == 24);
  CHECK(g[1].item() == 72);
}

TEST_CASE("retain_grad: of a tensor that is written to afterwards, the gradient of what it holds then") {
  Tensor x = full({2}, 1.0, f64).requires_grad_();
  Tensor h = x * 2;
  h.retain_grad();
  mul_(h, 3);
  sum(h * h).backward();
  CHECK(to_vector(h.grad()) == std::vector<double>{12, 12});
  CHECK(to_vector(x.grad()) == std::vector<double>{72, 72});
}

TEST_CASE("set_grad: an expanded gradient is added to like any other") {
  Tensor x = full({3}, 1.0, f64).requires_grad_();
  x.set_grad(expand(full({1}, 5.0, f64), {3}));
  sum(x * from_vector(std::vector<double>{1, 2, 3})).backward();
  CHECK(to_vector(x.grad()) == std::vector<double>{6, 7, 8});
}

TEST_CASE("retain_grad: an intermediate tensor keeps its gradient") {
  Tensor x = leaf({2}), h = x * 3.0, y = h * h;
  CHECK_FALSE(h.is_leaf());
  h.retain_grad();
  h.retain_grad();
  y.backward({}, true);
  CHECK(h.grad().item() == 12);
  y.backward();
  CHECK(h.grad().item() == 24);
  CHECK_FALSE(y.grad().defined());
}

TEST_CASE("NoGrad, GradMode, detach: nothing is recorded, and modes nest") {
  Tensor x = leaf({2});
  {
    NoGrad off;
    CHECK_FALSE((x * 2.0).requires_grad());
    {
      GradMode on(true);
      CHECK((x * 2.0).requires_grad());
    }
    CHECK_FALSE(grad_enabled());
  }
  CHECK(grad_enabled());
  Tensor d = (x * 2.0).detach();
  CHECK_FALSE(d.requires_grad());
  CHECK(d.is_leaf());
  CHECK_FALSE((d * 3.0).requires_grad());
  Tensor y = x * x * d;
  CHECK(grad({y}, {x})[0].item() == 16);
  std::thread([] { CHECK(grad_enabled()); }).join();
}

TEST_CASE("anomaly mode: names the operation that made the first NaN, forward or backward; without it nothing is checked") {
  Tensor x = leaf({-1, 0});
  CHECK(std::isnan(to_vector(sqrt(x))[0]));
  AnomalyMode detect;
  CHECK(AnomalyMode::enabled());
  CHECK_THROWS_WITH_AS(sqrt(x), "anomaly: sqrt made a NaN", AutogradError);
  {
    AnomalyMode off(false);
    CHECK_NOTHROW(sqrt(x));
  }
  Tensor zero = leaf({0});
  Tensor y = sum(sqrt(zero) * zero);  // 0 · ∞ in the derivative of sqrt
  CHECK_THROWS_WITH_AS(y.backward(), "anomaly: the derivative of sqrt with respect to input 0 has a NaN", AutogradError);
}

TEST_CASE("backward: an exception in a derivative or hook passes through, and the tensors stay usable") {
  int64_t live = memory_stats(cpu).live;
  {
    Tensor x = leaf({2}), h = x * x;
    h.register_hook([](const Tensor&) -> Tensor { throw ValueError("hook"); });
    CHECK_THROWS_WITH_AS((h * 2.0).backward(), "hook", ValueError);
    CHECK_FALSE(x.grad().defined());
    CHECK(grad_enabled());
    (x * x).backward();
    CHECK(x.grad().item() == 4);
    NoGrad off;
    CHECK_THROWS_AS((h * 2.0).backward(), AutogradError);
    CHECK_FALSE(grad_enabled());
  }
  CHECK(memory_stats(cpu).live == live);
}

TEST_CASE("no_derivative: usable forward, refused backward by name, also behind other operations") {
  Tensor x = leaf({2}), y = no_derivative("choose", x.detach() * 1.0, {x});
  CHECK(y.item() == 2);
  CHECK_THROWS_WITH_AS((y * 3.0).backward(), "choose has no derivative", AutogradError);
  CHECK(grad({y * x}, {y})[0].item() == 2);
}

TEST_CASE("backward: a gradient kept under create_graph has its own memory, to which later passes add") {
  Tensor x = tensor({1., 2., 3.}, f64).requires_grad_(), z = tensor({1., 1., 1.}, f64).requires_grad_(), given = ones({3}, f64);
  sum(x).backward({}, false, true);
  sum(x * x).backward();
  CHECK(to_vector(x.grad()) == std::vector<double>{3, 5, 7});
  x.set_grad({});
  (x + z).backward(given, false, true);
  (x * 10).backward(ones({3}, f64));
  CHECK(to_vector(x.grad()) == std::vector<double>(3, 11));
  CHECK(to_vector(z.grad()) == std::vector<double>(3, 1));
  CHECK(to_vector(given) == std::vector<double>(3, 1));
}
