// Fisher diagonals and the penalties made of them, against numbers worked out by hand.
#include "methods/common/fisher.h"

#include <doctest/doctest.h>

#include <cmath>

#include "methods/common/anchor.h"
#include "models/nn/linear.h"
#include "models/optim/sgd.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;
using namespace plumb::methods;
using Numbers = std::vector<double>;
using doctest::Approx;

namespace {

// Logits x Wᵀ with W rows (0.5, 0), (0, 0.25), (0, 0), and a parameter that nothing reads.
struct Net : nn::Module {
  nn::Linear head{this, "head", 2, 3, {.bias = false, .dtype = f64}};
  nn::Parameter idle{this, "idle", zeros({2}, f64)};
  Net() { copy_data(tensor({{0.5, 0.0}, {0.0, 0.25}, {0.0, 0.0}}, f64), head.weight); }
  Tensor operator()(const Tensor& x) const { return head(x); }
};

FisherDiagonal fisher_of(Net& net, const Tensor& x, const FisherOptions& options, const Tensor& labels = {}) {
  return estimate_fisher([&](const Tensor& input) { return net(input); }, net.named_parameters(), x, labels, options);
}

void check_close(const Tensor& x, const Numbers& expected, double epsilon = 1e-5) {
  Numbers v = to_vector(x);
  REQUIRE(v.size() == expected.size());
  for (size_t i = 0; i < v.size(); ++i) CHECK(v[i] == Approx(expected[i]).epsilon(epsilon));
}

const Tensor& omega(const FisherDiagonal& f, const std::string& name) {
  for (size_t k = 0; k < f.names.size(); ++k)
    if (f.names[k] == name) return f.omega[k];
  throw std::runtime_error("no " + name);
}

}  // namespace

TEST_CASE("fisher: the model's own label, and the exact expectation over labels") {
  Net net;
  Tensor x = tensor({{1.0, 2.0}}, f64);
  FisherDiagonal pseudo = fisher_of(net, x, {});  // p = (0.383652, 0.383652, 0.232697), tie → class 0
  check_close(omega(pseudo, "head.weight"), {0.379885, 1.519541, 0.147189, 0.588755, 0.0541477, 0.216591});
  check_close(omega(pseudo, "idle"), {0, 0});
  check_close(pseudo.origin[1].numel() == 6 ? pseudo.origin[1] : pseudo.origin[0], {0.5, 0, 0, 0.25, 0, 0});
  CHECK(pseudo.largest() == Approx(1.519541).epsilon(1e-5));
  FisherDiagonal exact = fisher_of(net, x, {.labels = FisherLabels::expected, .unit = FisherUnit::sample});
  check_close(omega(exact, "head.weight"), {0.236463, 0.945852, 0.236463, 0.945852, 0.178549, 0.714195});
}

TEST_CASE("fisher: the expectation is what sampled labels tend to") {
  Net net;
  Tensor x = expand(tensor({{1.0, 2.0}}, f64), {4000, 2});
  Generator g(5);
  Numbers sampled = to_vector(omega(
      fisher_of(net, x, {.labels = FisherLabels::sampled, .unit = FisherUnit::sample, .batch = 1000, .generator = &g}), "head.weight"));
  Numbers exact{0.236463, 0.945852, 0.236463, 0.945852, 0.178549, 0.714195};
  for (size_t i = 0; i < 6; ++i) CHECK(sampled[i] == Approx(exact[i]).epsilon(0.08));  // a square's deviation is below its mean: 5/√4000
}

TEST_CASE("fisher: a batch's squared gradient is that of its mean loss; a sample's its own") {
  Net net;
  Tensor x = tensor({{1.0, 2.0}, {-1.0, 0.5}, {0.3, -2.0}, {2.0, 1.0}}, f64), labels = tensor({2, 0, 1, 0});
  Numbers by_sample(6, 0.0), of_mean(6, 0.0), by_batch(6, 0.0);
  for (int64_t i = 0; i < 4; ++i) {
    net.zero_grad();
    cross_entropy(net(slice(x, 0, i, i + 1)), slice(labels, 0, i, i + 1)).backward();
    Numbers g = to_vector(net.head.weight.grad());
    for (size_t k = 0; k < 6; ++k) {
      by_sample[k] += g[k] * g[k] / 4;
      of_mean[k] += g[k] / 2;  // batches of two
      if (i % 2 == 1) by_batch[k] += of_mean[k] * of_mean[k] / 2, of_mean[k] = 0;
    }
  }
  for (int64_t batch : {1, 3, 4}) {
    FisherOptions o{.labels = FisherLabels::given, .unit = FisherUnit::sample, .batch = batch};
    check_close(omega(fisher_of(net, x, o, labels), "head.weight"), by_sample, 1e-12);
  }
  check_close(omega(fisher_of(net, x, {.labels = FisherLabels::given, .batch = 2}, labels), "head.weight"), by_batch, 1e-12);
  check_close(omega(fisher_of(net, x, {.labels = FisherLabels::given, .batch = 1}, labels), "head.weight"), by_sample, 1e-12);
}

TEST_CASE("fisher: bad input is an error that names it") {
  Net net;
  Tensor x = tensor({{1.0, 2.0}}, f64);
  CHECK_THROWS_WITH_AS(fisher_of(net, zeros({0, 2}, f64), {}), "fisher: there are no inputs in [0, 2]", ValueError);
  CHECK_THROWS_WITH_AS(fisher_of(net, x, {.batch = 0}), "fisher: a batch of 0", ValueError);
  CHECK_THROWS_WITH_AS(fisher_of(net, x, {.labels = FisherLabels::given}), "fisher: labels are not given for 1 inputs", ShapeError);
  CHECK_THROWS_AS(fisher_of(net, x, {.labels = FisherLabels::expected}), ValueError);
  CHECK_THROWS_WITH_AS(FisherAccumulator(std::vector<nn::NamedTensor>{}), "fisher: there are no parameters", ValueError);
  CHECK_THROWS_WITH_AS(FisherAccumulator(net.named_parameters()).diagonal(), "fisher: no loss was given", ValueError);
}

TEST_CASE("anchor: 2000 · Σ ω (θ − θ0)² and its gradient") {
  Tensor theta = tensor({1.1, -0.2}, f64).requires_grad_();
  QuadraticAnchor anchor({theta}, {tensor({0.5, 2.0}, f64)}, {tensor({1.0, 0.0}, f64)}, 2000);
  Tensor penalty = anchor.penalty();
  CHECK(penalty.item() == Approx(170));
  penalty.backward();
  check_close(theta.grad(), {200, -1600}, 1e-12);
  CHECK(QuadraticAnchor({theta}, {tensor({0.5, 2.0}, f64)}, {tensor({1.0, 0.0}, f64)}, 0).penalty().item() == 0);
  CHECK_THROWS_WITH_AS(QuadraticAnchor({theta}, {ones({3}, f64)}, {theta}, 1), "anchor: parameter 0 is [2], its importance [3]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(QuadraticAnchor({theta}, {ones({2}, f64)}, {theta}, -1), "anchor: the weight is -1, it must not be negative",
                       ValueError);
  CHECK_THROWS_WITH_AS(QuadraticAnchor({theta}, {}, {theta}, 1), "anchor: 1 parameters with 0 importances and 1 origins", ShapeError);
}

TEST_CASE("anchor: matched by name; L2 to the weights as they are") {
  Net net;
  FisherDiagonal fisher{{"idle", "head.weight"}, {ones({2}, f64), full({3, 2}, 3.0, f64)}, {zeros({2}, f64), zeros({3, 2}, f64)}};
  CHECK(QuadraticAnchor(net.named_parameters(), fisher, 2).penalty().item() == Approx(2 * 3 * (0.25 + 0.0625)));
  QuadraticAnchor l2 = QuadraticAnchor::to_current(net.named_parameters(), 1);
  CHECK(l2.penalty().item() == 0);
  copy_data(tensor({1.0, -1.0}, f64), net.idle);
  CHECK(l2.penalty().item() == 2);
  fisher.names[1] = "other";
  CHECK_THROWS_WITH_AS(QuadraticAnchor(net.named_parameters(), fisher, 1), "anchor: the Fisher diagonal has no parameter \"head.weight\"",
                       ValueError);
}

TEST_CASE("anchor: gradient descent on the penalty diverges just where the step ratio passes 1") {
  for (double ratio : {0.97, 1.03}) {
    double momentum = 0.9, omega = 4, weight = 25, lr = ratio * (1 + momentum) / (weight * omega);
    CHECK(anchor_step_ratio(lr, weight, omega, momentum) == Approx(ratio));
    Tensor theta = tensor({1.0}, f64).requires_grad_();
    QuadraticAnchor anchor({theta}, {tensor({omega}, f64)}, {tensor({0.0}, f64)}, weight);
    optim::SGD sgd({theta}, {.lr = lr, .momentum = momentum});
    for (int i = 0; i < 400; ++i) {
      sgd.zero_grad();
      anchor.penalty().backward();
      sgd.step();
    }
    CHECK((std::abs(theta.item()) > 10) == (ratio > 1));
    CHECK((std::abs(theta.item()) < 1) == (ratio < 1));
  }
  CHECK_THROWS_AS(anchor_step_ratio(1, 1, 1, 1), ValueError);
}

TEST_CASE("ewc: one anchor a task, or one that moves on") {
  Tensor theta = tensor({1.0, -2.0, 0.5}, f64).requires_grad_();
  std::vector<nn::NamedTensor> parameters{{"theta", theta}};
  FisherDiagonal first{{"theta"}, {tensor({0.2, 0.05, 1.0}, f64)}, {tensor({1.1, -1.8, 0.4}, f64)}};
  FisherDiagonal second{{"theta"}, {tensor({1.0, 1.0, 0.0}, f64)}, {tensor({1.0, -1.0, 0.0}, f64)}};
  Ewc separate(parameters, {.strength = 10}), online(parameters, {.strength = 10, .online = true, .decay = 0.5});
  CHECK(separate.penalty().item() == 0);
  separate.consolidate(first);
  online.consolidate(first);
  CHECK(separate.penalty().item() == Approx(5 * 0.014));
  CHECK(online.penalty().item() == Approx(5 * 0.014));
  separate.consolidate(second);
  online.consolidate(second);
  CHECK(separate.anchors().size() == 2);
  CHECK(separate.penalty().item() == Approx(5 * (0.014 + 1)));
  CHECK(online.anchors().size() == 1);
  CHECK(online.penalty().item() == Approx(5 * ((0.025 + 1) * 1 + 0.5 * 0.25)));  // ω = (1.1, 1.025, 0.5) about (1, −1, 0)
  separate.penalty().backward();
  CHECK(to_vector(theta.grad())[1] == Approx(10 * (0.05 * -0.2 + 1.0 * -1.0)));
  CHECK_THROWS_WITH_AS(Ewc(parameters, {.strength = -1}), "ewc: the strength is -1, it must not be negative", ValueError);
  CHECK_THROWS_WITH_AS(Ewc(parameters, {.online = true, .decay = 2}), "ewc: the decay is 2, it must lie in [0, 1]", ValueError);
}
