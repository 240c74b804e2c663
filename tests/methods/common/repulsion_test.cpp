// Repulsion in weight space: worked numbers, gradients, floors, and that a step along it leads away.
#include <doctest/doctest.h>

#include <cmath>

#include "methods/common/repulsion.h"
#include "models/optim/parameters.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;
using methods::Repulsion;

namespace {

struct Worked {
  std::vector<Tensor> theta{tensor({1.0, -2.0, 0.5}, f64).requires_grad_(), tensor({{0.2, 0.4}, {-0.1, 0.0}}, f64).requires_grad_()};
  std::vector<std::vector<Tensor>> anchors{{tensor({0.5, -1.0, 0.5}, f64), tensor({{0.0, 0.5}, {0.1, -0.2}}, f64)},
                                           {tensor({2.0, -2.5, 1.0}, f64), tensor({{0.3, 0.1}, {-0.4, 0.2}}, f64)}};
};

void check_all(const Tensor& x, double value) {
  for (double v : to_vector(x)) CHECK(v == doctest::Approx(value).epsilon(1e-5));
}

}  // namespace

TEST_CASE("repulsion: distances, losses and gradients, worked") {
  Worked w;
  std::vector<double> d = to_vector(methods::squared_distances(w.theta, w.anchors));
  CHECK(d[0] == doctest::Approx(1.38).epsilon(1e-12));
  CHECK(d[1] == doctest::Approx(1.73).epsilon(1e-12));
  // value, and the gradient on the first tensor, whose three entries are alike here: θ − mean_k θ_k = −0.25 (1, 1, 1)
  struct Case {
    Repulsion kind;
    double value, slope;
  };
  for (const Case& c : {Case{Repulsion::negative_l2, -1.555, 0.5},
                        {Repulsion::inverse_l2, 0.643087, 0.206780},
                        {Repulsion::exponential_l2, 0.211189, 0.105595}}) {
    for (Tensor& p : w.theta) p.zero_grad();
    Tensor loss = methods::repulsion_loss(w.theta, w.anchors, {.kind = c.kind});
    CHECK(loss.item() == doctest::Approx(c.value).epsilon(1e-5));
    loss.backward();
    check_all(w.theta[0].grad(), c.slope);
  }
  // distances measured in their scale
  CHECK(methods::repulsion_loss(w.theta, w.anchors, {.alpha = 3, .scale = 1.555}).item() == doctest::Approx(std::exp(-3.0)).epsilon(1e-12));
  CHECK(methods::repulsion_loss(w.theta, w.anchors, {.kind = Repulsion::negative_l2, .scale = 1.555}).item() ==
        doctest::Approx(-1).epsilon(1e-12));
}

TEST_CASE("repulsion: the released code's distance counts every tensor alike") {
  Worked w;
  Tensor v = methods::per_tensor_distance(w.theta, w.anchors);
  CHECK(v.item() == doctest::Approx(0.503333).epsilon(1e-5));
  CHECK((100.0 * exp(-v)).item() == doctest::Approx(60.4512).epsilon(1e-5));
  CHECK((1.0 / v).item() == doctest::Approx(1.98675).epsilon(1e-5));
}

TEST_CASE("repulsion: no gradient at alpha = 0, nor below the floor of the inverse") {
  Worked w;
  methods::repulsion_loss(w.theta, w.anchors, {.alpha = 0}).backward();
  for (const Tensor& p : w.theta) check_all(p.grad(), 0);
  std::vector<std::vector<Tensor>> here{optim::clone(w.theta)};
  for (Tensor& p : w.theta) p.zero_grad();
  Tensor loss = methods::repulsion_loss(w.theta, here, {.kind = Repulsion::inverse_l2});
  CHECK(loss.item() == doctest::Approx(1e8));
  loss.backward();
  for (const Tensor& p : w.theta) check_all(p.grad(), 0);
}

TEST_CASE("repulsion: a small step down any of the losses leads away") {
  for (Repulsion kind : {Repulsion::negative_l2, Repulsion::inverse_l2, Repulsion::exponential_l2}) {
    Worked w;
    double before = mean(methods::squared_distances(w.theta, w.anchors)).item();
    methods::repulsion_loss(w.theta, w.anchors, {.kind = kind}).backward();
    optim::axpy(-1e-3, optim::gradients(w.theta), w.theta);
    CHECK(mean(methods::squared_distances(w.theta, w.anchors)).item() > before);
  }
}

TEST_CASE("repulsion: nothing to be repelled from, and anchors of another network, are named") {
  Worked w;
  CHECK_THROWS_WITH_AS(methods::repulsion_loss(w.theta, {}), "repulsion: there is nothing to be repelled from (K = 0)", ValueError);
  CHECK_THROWS_WITH_AS(methods::repulsion_loss(w.theta, {{w.theta[0]}}), "repulsion: anchor 0 has 1 tensors, the parameters 2", ShapeError);
  CHECK_THROWS_WITH_AS(methods::repulsion_loss(w.theta, {{zeros({3}, f64), zeros({4}, f64)}}),
                       "repulsion: tensor 1 of anchor 0 is [4], the parameter [2, 2]", ShapeError);
  CHECK_THROWS_WITH_AS(methods::repulsion_loss(w.theta, w.anchors, {.scale = 0}), "repulsion: the scale is 0, it must be positive",
                       ValueError);
}
