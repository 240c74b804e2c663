// L-BFGS: its directions against a plain loop, hard problems, saving.
#include "models/optim/lbfgs.h"

#include "ops/elementary.h"
#include "ops/shape.h"
#include "optimizer_checks.h"

using namespace plumb;
using namespace plumb::test;

namespace {

Tensor rosenbrock(const Tensor& p) {
  Tensor x = select(p, 0, 0), y = select(p, 0, 1), a = 1 - x, b = y - x * x;
  return a * a + b * b * 100.0;
}

template <typename Loss>
auto closure_of(optim::Optimizer& o, Loss loss, int* calls = nullptr) {
  return [&o, loss, calls] {
    if (calls) ++*calls;
    o.zero_grad();
    Tensor l = loss();
    l.backward();
    return l;
  };
}

}  // namespace

TEST_CASE("lbfgs: without a line search the steps match a plain two-loop recursion") {
  Quadratic problem;
  optim::LBFGS lbfgs({problem.p}, {.lr = 0.9, .max_iterations = 1, .history = 3, .line_search = false});
  std::vector<double> c = to_vector(problem.curvature), target = to_vector(problem.target), x(12, 0.0);
  auto gradient = [&](const std::vector<double>& at) {
    std::vector<double> g(12);
    for (size_t i = 0; i < 12; ++i) g[i] = c[i] * (at[i] - target[i]);
    return g;
  };
  auto inner = [](const std::vector<double>& a, const std::vector<double>& b) {
    double s = 0;
    for (size_t i = 0; i < a.size(); ++i) s += a[i] * b[i];
    return s;
  };
  std::vector<std::vector<double>> steps, changes;
  for (int t = 0; t < 7; ++t) {
    std::vector<double> g = gradient(x), d = g, alpha(steps.size());
    for (size_t k = steps.size(); k-- > 0;) {
      alpha[k] = inner(steps[k], d) / inner(steps[k], changes[k]);
      for (size_t i = 0; i < 12; ++i) d[i] -= alpha[k] * changes[k][i];
    }
    double scale = steps.empty() ? 1 : inner(steps.back(), changes.back()) / inner(changes.back(), changes.back());
    for (double& v : d) v *= scale;
    for (size_t k = 0; k < steps.size(); ++k) {
      double beta = inner(changes[k], d) / inner(steps[k], changes[k]);
      for (size_t i = 0; i < 12; ++i) d[i] += (alpha[k] - beta) * steps[k][i];
    }
    double length = t == 0 ? std::min(1.0, 1 / std::sqrt(inner(g, g))) * 0.9 : 0.9;
    std::vector<double> step(12);
    for (size_t i = 0; i < 12; ++i) x[i] += step[i] = -length * d[i];
    std::vector<double> after = gradient(x);
    for (size_t i = 0; i < 12; ++i) after[i] -= g[i];
    steps.push_back(step);
    changes.push_back(after);
    if (steps.size() > 3) {
      steps.erase(steps.begin());
      changes.erase(changes.begin());
    }
    lbfgs.step(closure_of(lbfgs, [&] { return problem.loss(); }));
    std::vector<double> got = to_vector(problem.p);
    for (size_t i = 0; i < 12; ++i) CHECK(got[i] == doctest::Approx(x[i]).epsilon(1e-9));
  }
}

TEST_CASE("lbfgs: finds the bottom of Rosenbrock's valley in few evaluations") {
  Tensor p = tensor({-1.2, 1.0}, f64).requires_grad_();
  optim::LBFGS lbfgs({p}, {.max_iterations = 100, .max_evaluations = 150, .change_tolerance = 0});
  int calls = 0;
  double first = lbfgs.step(closure_of(lbfgs, [&] { return rosenbrock(p); }, &calls));
  CHECK(first == doctest::Approx(24.2));
  CHECK(calls < 80);
  CHECK(std::abs(to_vector(p)[0] - 1) < 1e-6);
  CHECK(std::abs(to_vector(p)[1] - 1) < 1e-6);
}

TEST_CASE("lbfgs: every accepted step satisfies the strong Wolfe conditions") {
  Tensor p = tensor({-1.2, 1.0}, f64).requires_grad_();
  optim::LBFGS lbfgs({p}, {.max_iterations = 1, .max_evaluations = 40});
  auto loss = [&] { return rosenbrock(p); };
  for (int t = 0; t < 25; ++t) {
    lbfgs.zero_grad();
    Tensor before_loss = loss();
    before_loss.backward();
    std::vector<double> x0 = to_vector(p), g0 = to_vector(p.grad());
    lbfgs.step(closure_of(lbfgs, loss));
    lbfgs.zero_grad();
    Tensor after_loss = loss();
    after_loss.backward();
    std::vector<double> x1 = to_vector(p), g1 = to_vector(p.grad());
    double slope0 = 0, slope1 = 0;  // along the step taken
    for (size_t i = 0; i < 2; ++i) {
      slope0 += g0[i] * (x1[i] - x0[i]);
      slope1 += g1[i] * (x1[i] - x0[i]);
    }
    CHECK(slope0 < 0);
    CHECK(after_loss.item() <= before_loss.item() + 1e-4 * slope0);
    CHECK(std::abs(slope1) <= -0.9 * slope0);
  }
}

TEST_CASE("lbfgs: several parameters, a loss that is infinite in places, and one without influence") {
  Tensor a = tensor({3.0}, f64).requires_grad_(), b = ones({2, 2}, f64).requires_grad_(), idle = ones({2}, f64).requires_grad_();
  optim::LBFGS lbfgs({a, b, idle}, {.lr = 50, .max_iterations = 60, .max_evaluations = 200});
  // a − log a has its minimum at 1 and no value below 0; the first steps of length 50 leave its domain.
  auto loss = [&] { return sum(a - log(a)) + sum((b - 2.0) * (b - 2.0)); };
  lbfgs.step(closure_of(lbfgs, loss));
  CHECK(a.item() == doctest::Approx(1).epsilon(1e-5));
  for (double v : to_vector(b)) CHECK(v == doctest::Approx(2).epsilon(1e-5));
  CHECK(to_vector(idle) == std::vector<double>{1, 1});
}

TEST_CASE("lbfgs: a saved history goes on bit by bit") {
  Tensor p = tensor({-1.2, 1.0}, f64).requires_grad_(), q = tensor({0.0, 0.0}, f64).requires_grad_();
  optim::LBFGS first({p}, {.max_iterations = 4});
  first.step(closure_of(first, [&] { return rosenbrock(p); }));
  copy_data(p, q);
  optim::LBFGS second({q}, {.max_iterations = 4});
  second.load_state(first.state());
  for (int t = 0; t < 3; ++t) {
    first.step(closure_of(first, [&] { return rosenbrock(p); }));
    second.step(closure_of(second, [&] { return rosenbrock(q); }));
    CHECK(to_vector(p) == to_vector(q));
  }
  Tensor r = ones({3}, f64).requires_grad_();
  optim::LBFGS other({r}, {});
  CHECK_THROWS_WITH_AS(other.load_state(first.state()), "lbfgs: \"history.0\" is [2] in the state, the parameters are [3]", ShapeError);
}

TEST_CASE("lbfgs: what it cannot do is refused") {
  Tensor p = ones({2}, f64).requires_grad_();
  optim::LBFGS lbfgs({p}, {});
  p.set_grad(ones({2}, f64));
  CHECK_THROWS_WITH_AS(static_cast<optim::Optimizer&>(lbfgs).step(), "lbfgs: step needs a closure that computes the loss and its gradient",
                       ValueError);
  CHECK_THROWS_WITH_AS(lbfgs.step(closure_of(lbfgs, [&] { return sum(log(p - 2.0)); })), "lbfgs: the loss is not finite", ValueError);
  CHECK_THROWS_WITH_AS(optim::LBFGS({ones({1}, bf16)}), "lbfgs: a parameter is bf16", DTypeError);
}
