// Closed forms of a linear head against differences of its loss, double backward, and worked numbers.
#include "methods/common/head_statistics.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/autograd/backward.h"
#include "ops/create.h"
#include "ops/functional.h"
#include "ops/gradcheck.h"
#include "ops/join.h"
#include "ops/linalg.h"
#include "ops/loss.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;
using methods::HeadStatistics;

namespace {

struct Head {
  Tensor features, labels, weight, bias;
  HeadStatistics statistics() const { return {features, labels, weight, bias}; }
  /// The loss with θ = [W | b] moved by `by`, as a plain loop in double.
  double loss_at(const std::vector<double>& by) const {
    int64_t n = features.size(0), d = features.size(1), classes = weight.size(0), k = d + (bias.defined() ? 1 : 0);
    std::vector<double> f = to_vector(features), w = to_vector(weight),
                        b = bias.defined() ? to_vector(bias) : std::vector<double>(static_cast<size_t>(classes));
    std::vector<int64_t> y = to_vector<int64_t>(labels);
    auto at = [](const std::vector<double>& v, int64_t i) { return v[static_cast<size_t>(i)]; };
    double total = 0;
    for (int64_t i = 0; i < n; ++i) {
      std::vector<double> z;
      for (int64_t c = 0; c < classes; ++c) {
        double sum = at(b, c) + (bias.defined() ? at(by, c * k + d) : 0);
        for (int64_t j = 0; j < d; ++j) sum += (at(w, c * d + j) + at(by, c * k + j)) * at(f, i * d + j);
        z.push_back(sum);
      }
      if (classes == 1) z.insert(z.begin(), 0.0);  // a sigmoid is a softmax of (0, z)
      double all = 0;
      for (double v : z) all += std::exp(v);
      total += std::log(all) - at(z, y[static_cast<size_t>(i)]);
    }
    return total / static_cast<double>(n);
  }
};

Head random_head(int64_t n, int64_t d, int64_t classes, bool bias) {
  manual_seed(7);
  RandomOptions wide{.dtype = f64};
  return {randn({n, d}, wide), randint(0, std::max<int64_t>(classes, 2), {n}), randn({classes, d}, wide) * 0.5,
          bias ? randn({classes}, wide) * 0.5 : Tensor()};
}

std::vector<Head> heads() {
  return {random_head(7, 3, 4, true), random_head(5, 4, 3, false), random_head(6, 3, 1, true), random_head(6, 2, 1, false)};
}

void check_close(const Tensor& x, const std::vector<double>& expected, double tolerance) {
  std::vector<double> values = to_vector(x);
  REQUIRE(values.size() == expected.size());
  for (size_t i = 0; i < values.size(); ++i) CHECK(std::abs(values[i] - expected[i]) <= tolerance);
}

}  // namespace

TEST_CASE("head_statistics: loss, gradient, products and diagonal equal differences of the loss") {
  for (const Head& head : heads()) {
    HeadStatistics s = head.statistics();
    auto m = static_cast<size_t>(s.gradient().numel());
    std::vector<double> zero(m);
    CHECK(s.loss().item() == doctest::Approx(head.loss_at(zero)).epsilon(1e-12));
    std::vector<double> gradient, diagonal, product, v = to_vector(randn(s.gradient().shape(), {.dtype = f64}));
    double h = 1e-4;
    auto at = [&](size_t i, double a, double b) {  // moved by a e_i + b v
      std::vector<double> by(m);
      by[i] += a;
      for (size_t j = 0; j < m; ++j) by[j] += b * v[j];
      return head.loss_at(by);
    };
    for (size_t i = 0; i < m; ++i) {
      gradient.push_back((at(i, h, 0) - at(i, -h, 0)) / (2 * h));
      diagonal.push_back((at(i, h, 0) - 2 * at(i, 0, 0) + at(i, -h, 0)) / (h * h));
      product.push_back((at(i, h, h) - at(i, h, -h) - at(i, -h, h) + at(i, -h, -h)) / (4 * h * h));
    }
    check_close(s.gradient(), gradient, 1e-6);
    check_close(s.hessian_diagonal(), diagonal, 1e-6);
    check_close(s.hvp(from_vector(v, s.gradient().shape())), product, 1e-6);
  }
}

TEST_CASE("head_statistics: they equal double backward, the Hessian is symmetric and has no negative curvature") {
  for (const Head& head : heads()) {
    HeadStatistics s = head.statistics();
    Shape shape = s.gradient().shape();
    int64_t d = head.features.size(1), m = s.gradient().numel();
    auto loss = [&](const Tensor& theta) {
      Tensor w = narrow(theta, 1, 0, d), b = head.bias.defined() ? select(theta, 1, d) : Tensor();
      return HeadStatistics(head.features, head.labels, w, b).loss();
    };
    Tensor theta = head.bias.defined() ? cat({head.weight, unsqueeze(head.bias, 1)}, 1) : head.weight, v = randn(shape, {.dtype = f64});
    check_close(s.gradient(), to_vector(vjp(loss, {theta}).products[0]), 1e-12);
    check_close(s.hvp(v), to_vector(hvp(loss, {theta}, {v}).products[0]), 1e-12);
    Tensor whole = reshape(hessian(loss, theta), {m, m});
    check_close(s.hessian(), to_vector(whole), 1e-12);
    check_close(s.hessian_diagonal(), to_vector(diagonal(whole)), 1e-12);
    check_close(whole, to_vector(mT(whole)), 1e-12);
    CHECK(sum(v * s.hvp(v)).item() >= 0);
    CHECK(eigh(s.hessian()).values.shape() == Shape{m});
    CHECK(min(eigh(s.hessian()).values).item() > -1e-12);
  }
}

TEST_CASE("head_statistics: several directions at once give what each gives alone") {
  for (const Head& head : heads()) {
    HeadStatistics s = head.statistics();
    Shape one = s.gradient().shape();
    Tensor v = randn({2, 3, one[0], one[1]}, {.dtype = f64}), all = s.hvp(v);
    REQUIRE(all.shape() == v.shape());
    for (int64_t i = 0; i < 2; ++i)
      for (int64_t j = 0; j < 3; ++j) check_close(select(select(all, 0, i), 0, j), to_vector(s.hvp(select(select(v, 0, i), 0, j))), 1e-14);
  }
}

TEST_CASE("head_statistics: |g| d|g|/dθ = H g") {
  for (const Head& head : heads()) {
    Tensor w = head.weight.detach().requires_grad_(), b = head.bias.defined() ? head.bias.detach().requires_grad_() : Tensor();
    std::vector<Tensor> theta{w};
    if (b.defined()) theta.push_back(b);
    HeadStatistics s(head.features, head.labels, w, b);
    std::vector<Tensor> g = grad({s.loss()}, theta, {.create_graph = true});
    Tensor squares = sum(g[0] * g[0]);
    if (b.defined()) squares = squares + sum(g[1] * g[1]);
    Tensor length = pow(squares, 0.5);
    std::vector<Tensor> slope = grad({length}, theta);
    Tensor product = s.hvp(s.gradient()).detach();
    check_close(slope[0] * length.detach(), to_vector(narrow(product, 1, 0, w.size(1))), 1e-10);
    if (b.defined()) check_close(slope[1] * length.detach(), to_vector(select(product, 1, w.size(1))), 1e-10);
  }
}

TEST_CASE("head_statistics: everything is differentiable in features, weight and bias") {
  Head head = random_head(4, 2, 3, true);
  auto all = [&](const Tensor& f, const Tensor& w, const Tensor& b) {
    HeadStatistics s(f, head.labels, w, b);
    return std::vector<Tensor>{s.loss(), s.gradient(), s.hvp(s.gradient()), s.hessian_diagonal(), s.gradient_variance()};
  };
  gradcheck(all, {head.features, head.weight, head.bias}).throw_if_failed();
}

TEST_CASE("head_statistics: the variance of the gradient is that of the examples' gradients") {
  Head head = random_head(5, 2, 3, true);
  HeadStatistics all = head.statistics();
  Tensor expected = zeros(all.gradient().shape(), f64);
  for (int64_t i = 0; i < 5; ++i) {
    HeadStatistics one(narrow(head.features, 0, i, 1), narrow(head.labels, 0, i, 1), head.weight, head.bias);
    Tensor d = one.gradient() - all.gradient();
    expected = expected + d * d / 5;
  }
  check_close(all.gradient_variance(), to_vector(expected), 1e-14);
}

TEST_CASE("hutchinson: averaged over all sign vectors the estimate is the diagonal; one probe is z times Hz") {
  Tensor x = tensor({{1.0, 0.0}, {0.5, -1.0}, {-1.0, 0.5}}, f64);
  HeadStatistics s(x, tensor({1, 0, 0}), tensor({{0.4, -0.3}}, f64), tensor({0.1}, f64));
  auto product = [&](const Tensor& z) { return s.hvp(z); };
  std::vector<double> signs;
  for (int bits = 0; bits < 8; ++bits)
    for (int j = 0; j < 3; ++j) signs.push_back(bits >> j & 1 ? 1 : -1);
  check_close(methods::hutchinson_diagonal(product, from_vector(signs, {8, 1, 3})), to_vector(s.hessian_diagonal()), 1e-15);
  Tensor z = from_vector(signs, {8, 1, 3});
  check_close(mean(z * s.hvp(z), {0}), to_vector(s.hessian_diagonal()), 1e-15);
  check_close(methods::hutchinson_diagonal(product, tensor({{{1.0, -1.0, 1.0}}}, f64)), {0.291622, 0.210467, 0.307696}, 1e-6);

  manual_seed(1);
  Tensor probes = methods::rademacher(200, {1, 3}, f64);
  CHECK(probes.shape() == Shape{200, 1, 3});
  int64_t positive = 0;
  for (double z : to_vector(probes)) {
    CHECK(std::abs(z) == 1);
    positive += z > 0;
  }
  CHECK(positive > 240);  // of 600: five standard deviations
  CHECK(positive < 360);
  CHECK_THROWS_WITH_AS(methods::rademacher(0, {3}), "hutchinson: needs at least 1 probe, not 0", ValueError);
}

TEST_CASE("spectral_norm_of_symmetric: the largest eigenvalue by magnitude") {
  CHECK(methods::spectral_norm_of_symmetric(tensor({{2.0, 0.0}, {0.0, -3.0}}, f64)) == doctest::Approx(3).epsilon(1e-12));
  CHECK(methods::spectral_norm_of_symmetric(tensor({{1.0, 2.0}, {2.0, 1.0}}, f64)) == doctest::Approx(3).epsilon(1e-12));
}

TEST_CASE("head_statistics: bad input is named") {
  Tensor w = zeros({3, 2}, f64), x = zeros({4, 2}, f64), y = tensor({0, 1, 2, 0});
  CHECK_THROWS_WITH_AS(HeadStatistics(x, y, zeros({3, 5}, f64)),
                       "head_statistics: takes features [n, d], labels [n], weight [C, d], bias [C], got [4, 2], [4], [3, 5]", ShapeError);
  CHECK_THROWS_WITH_AS(HeadStatistics(x, tensor({1}), w, zeros({3}, f64)),
                       "head_statistics: takes features [n, d], labels [n], weight [C, d], bias [C], got [4, 2], [1], [3, 2], [3]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(HeadStatistics(zeros({0, 2}, f64), zeros({0}, i64), w), "head_statistics: the batch is empty", ValueError);
  CHECK_THROWS_AS(HeadStatistics(x, tensor({0, 1, 3, 0}), w), IndexError);
  CHECK_THROWS_AS(HeadStatistics(x, tensor({0, 1, 2, 0}), zeros({1, 2}, f64)), ValueError);
  HeadStatistics s(x, y, w);
  CHECK_THROWS_WITH_AS(s.hvp(zeros({2, 3}, f64)), "head_statistics: hvp takes a direction [3, 2], got [2, 3]", ShapeError);
}
