// MDCS: the worked examples of its two losses, what teaches whom, limits, mistakes, the experts' network and the experiment.
#include "methods/robust/mdcs/mdcs.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/data/long_tail.h"
#include "methods/common/long_tail_losses.h"
#include "methods/robust/mdcs/experts.h"
#include "methods/runner.h"
#include "ops/gradcheck.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"
#include "tests/methods/check_close.h"
#include "tests/methods/measured.h"

using namespace plumb;
using namespace plumb::methods;
using mdcs::MdcsLoss, mdcs::MdcsTerms;

namespace plumb::methods::mdcs {
Experiment experiment();
}

namespace {

const std::vector<int64_t> kCounts{100, 10, 1};
Tensor weak_example() { return tensor({{2.0, 1.0, 4.0}, {1.0, 3.0, 0.5}}, f64); }
Tensor strong_example() { return tensor({{1.0, 1.0, 3.0}, {0.5, 2.0, 1.0}}, f64); }
Tensor example_labels() { return tensor({2, 1}); }
Tensor views() { return cat({weak_example(), strong_example()}); }
std::vector<Tensor> three(const Tensor& x) { return {x, x, x}; }

std::vector<Tensor> random_experts(uint64_t seed, int64_t rows) {
  Generator g(seed);
  std::vector<Tensor> all;
  for (int e = 0; e < 3; ++e) all.push_back(randn({rows, 3}, {.dtype = f64, .generator = &g}));
  return all;
}

}  // namespace

TEST_CASE("mdcs: worked example 2, the consistency of each expert") {
  struct Case {
    double lambda, consistency;
    std::vector<double> kl;  // of both rows, whether or not they are confident
  };
  for (const Case& c :
       {Case{-0.5, .117406, {.0106475, .224165}}, Case{1, 0, {.0222304, .0331311}}, Case{2.5, 0, {.000832580, .00239612}}}) {
    CAPTURE(c.lambda);
    Tensor prior = log_prior(kCounts, c.lambda), weak = weak_example() + prior, strong = strong_example() + prior;
    CHECK(mdcs::confident_self_distill(weak, strong, example_labels()).item() == doctest::Approx(c.consistency).epsilon(4e-6));
    CHECK(mdcs::confident_self_distill(weak, strong, example_labels(), 1, false).item() ==
          doctest::Approx((c.kl[0] + c.kl[1]) / 2).epsilon(5e-6));
    for (int64_t row : {0, 1})
      CHECK(mdcs::confident_self_distill(narrow(weak, 0, row, 1), narrow(strong, 0, row, 1), tensor({0}), 1, false).item() ==
            doctest::Approx(c.kl[static_cast<size_t>(row)]).epsilon(5e-6));
  }
}

TEST_CASE("mdcs: worked example 2, the diversity loss of each expert and of all, and the whole objective") {
  std::vector<double> wanted{.287898, 1.87979, 6.77011}, exponents{-0.5, 1, 2.5};
  Tensor both = cat({example_labels(), example_labels()});
  for (size_t e = 0; e < 3; ++e)
    CHECK(prior_adjusted_cross_entropy(views(), both, log_prior(kCounts, exponents[e])).item() == doctest::Approx(wanted[e]).epsilon(3e-6));
  MdcsTerms t = MdcsLoss(kCounts)(three(views()), example_labels(), 20);
  CHECK(t.diversity.item() == doctest::Approx(8.93780).epsilon(2e-6));
  CHECK(t.consistency.item() == doctest::Approx(.117406).epsilon(4e-6));
  CHECK(t.confident == doctest::Approx(2.0 / 6));
  CHECK(t.loss.item() == doctest::Approx(8.93780 + 0.6 * .117406).epsilon(2e-6));
  CHECK(MdcsLoss(kCounts)(three(views()), example_labels(), 5).loss.item() == doctest::Approx(8.93780 + 0.15 * .117406).epsilon(2e-6));
}

TEST_CASE("mdcs: the weight of the consistency rises with the epochs, counted from 1") {
  MdcsLoss loss(kCounts);
  CHECK(loss.weight(1) == doctest::Approx(0.03));
  CHECK(loss.weight(20) == doctest::Approx(0.6));
  CHECK(loss.weight(100) == doctest::Approx(0.6));
  CHECK(MdcsLoss(kCounts, {.warmup = 0}).weight(1) == doctest::Approx(0.6));
}

TEST_CASE("mdcs: with balanced counts the diversity loss is the experts' plain cross-entropy") {
  auto experts = random_experts(1, 8);
  Tensor labels = tensor({0, 1, 2, 1}), both = cat({labels, labels});
  double plain = 0;
  for (const Tensor& v : experts) plain += cross_entropy(v, both).item();
  CHECK(MdcsLoss({40, 40, 40})(experts, labels, 1).diversity.item() == doctest::Approx(plain).epsilon(1e-12));
}

TEST_CASE("mdcs: with alpha 0 it is the diversity loss alone, bit for bit") {
  auto experts = random_experts(2, 8);
  Tensor labels = tensor({0, 1, 2, 1});
  MdcsTerms t = MdcsLoss(kCounts, {.alpha = 0})(experts, labels, 30), whole = MdcsLoss(kCounts)(experts, labels, 30);
  CHECK(t.loss.item() == whole.diversity.item());
  CHECK_FALSE(t.consistency.defined());
  CHECK(whole.loss.item() > whole.diversity.item());
}

TEST_CASE("mdcs: identical views teach nothing, in value and in gradient") {
  Generator g(3);
  Tensor weak = randn({6, 4}, {.dtype = f64, .generator = &g}), strong = plumb::clone(weak).requires_grad_();
  Tensor loss = mdcs::confident_self_distill(weak, strong, argmax(weak, 1), 2);
  CHECK(loss.item() == 0);
  loss.backward();
  for (double v : to_vector(strong.grad())) CHECK(std::abs(v) < 1e-15);
}

TEST_CASE("mdcs: the weak view receives no gradient from the consistency, but does from the cross-entropy") {
  Tensor weak = weak_example().requires_grad_(), strong = strong_example().requires_grad_();
  mdcs::confident_self_distill(weak, strong, example_labels()).backward();
  CHECK_FALSE(weak.grad().defined());
  CHECK(strong.grad().defined());
  Tensor all = views().requires_grad_(), without = views().requires_grad_();
  MdcsLoss(kCounts, {.exponents = {-0.5}, .warmup = 0})({all}, example_labels(), 1).loss.backward();
  MdcsLoss(kCounts, {.exponents = {-0.5}, .alpha = 0})({without}, example_labels(), 1).loss.backward();
  auto a = to_vector(all.grad()), b = to_vector(without.grad());
  double strong_moved = 0;
  for (size_t i = 0; i < 6; ++i) {
    CHECK(a[i] == b[i]);  // weak rows: the cross-entropy's gradient, which is there
    CHECK(b[i] != 0);
    strong_moved += std::abs(a[i + 6] - b[i + 6]);
  }
  CHECK(strong_moved > 0.01);
}

TEST_CASE("mdcs: the temperature divides adjusted logits and its square weighs the term") {
  Tensor weak = weak_example(), strong = strong_example();
  auto p = to_vector(log_softmax(weak / 3.0, 1)), q = to_vector(log_softmax(strong / 3.0, 1));
  double kl = 0;
  for (size_t i = 0; i < p.size(); ++i) kl += std::exp(p[i]) * (p[i] - q[i]) / 2;
  CHECK(mdcs::confident_self_distill(weak, strong, example_labels(), 3).item() == doctest::Approx(9 * kl).epsilon(1e-12));
}

TEST_CASE("mdcs: all counts times a constant change neither loss nor gradient") {
  auto run = [&](const std::vector<int64_t>& counts) {
    auto experts = random_experts(4, 8);
    for (Tensor& v : experts) v.requires_grad_();
    Tensor loss = MdcsLoss(counts)(experts, tensor({0, 1, 2, 1}), 20).loss;
    loss.backward();
    return std::pair{loss.item(), to_vector(cat({experts[0].grad(), experts[1].grad(), experts[2].grad()}))};
  };
  auto [loss, gradient] = run(kCounts);
  auto [scaled, scaled_gradient] = run({300, 30, 3});
  CHECK(scaled == doctest::Approx(loss).epsilon(1e-6));
  for (size_t i = 0; i < gradient.size(); ++i) CHECK(std::abs(gradient[i] - scaled_gradient[i]) < 1e-6);
}

TEST_CASE("mdcs: derivatives are those of central differences") {
  auto experts = random_experts(5, 8);
  Tensor labels = argmax(narrow(experts[0], 0, 0, 4), 1);
  MdcsLoss loss(kCounts, {.exponents = {-0.5, 0, 1}, .alpha = 0.6, .warmup = 0, .temperature = 2, .confident_only = false});
  // The teacher is a constant: held at its value while the strong views move.
  auto of = [&](const Tensor& a, const Tensor& b, const Tensor& c) {
    std::vector<Tensor> strong{a, b, c}, all;
    for (size_t e = 0; e < 3; ++e) all.push_back(cat({narrow(experts[e], 0, 0, 4), strong[e]}));
    return loss(all, labels, 1).loss;
  };
  std::vector<Tensor> strong;
  for (const Tensor& v : experts) strong.push_back(plumb::clone(narrow(v, 0, 4, 4)));
  CHECK_MESSAGE(gradcheck(of, strong).passed, gradcheck(of, strong).message);
  CHECK(gradgradcheck(of, strong).passed);
}

TEST_CASE("mdcs: experts that differ, by RIDE's loss and in nats") {
  Tensor a = tensor({{0.0, 0.0}}, f64), b = tensor({{std::log(3.0), 0.0}}, f64);  // (½, ½) and (¾, ¼)
  double ab = 0.5 * std::log(0.5 / 0.75) + 0.5 * std::log(0.5 / 0.25), ba = 0.75 * std::log(0.75 / 0.5) + 0.25 * std::log(0.25 / 0.5);
  CHECK(mdcs::expert_diversity({a, b}) == doctest::Approx((ab + ba) / 2).epsilon(1e-12));
  CHECK(mdcs::expert_diversity({a}) == 0);
  CHECK(mdcs::expert_diversity({a, a, a}) == 0);
  auto experts = random_experts(6, 4);
  Tensor labels = tensor({0, 1, 2, 1});
  double plain = 0, apart = 0;
  Tensor middle = softmax(mdcs::mean_logits(experts), 1);
  for (const Tensor& v : experts) {
    plain += cross_entropy(v, labels).item();
    auto m = to_vector(middle), q = to_vector(log_softmax(v, 1));
    for (size_t i = 0; i < m.size(); ++i) apart += m[i] * (std::log(m[i]) - q[i]) / 4;
  }
  CHECK(mdcs::ride_loss(experts, labels, 0.2).item() == doctest::Approx(plain - 0.2 * apart).epsilon(1e-12));
  CHECK(mdcs::ride_loss(three(a), tensor({0}), 0.2).item() == doctest::Approx(3 * std::log(2.0)).epsilon(1e-12));
}

TEST_CASE("mdcs: mistakes are named") {
  CHECK_THROWS_WITH_AS(MdcsLoss({5, 0}), "log_prior: class 1 has no examples; -0.5 as exponent needs some", ValueError);
  CHECK_THROWS_WITH_AS(MdcsLoss(kCounts, {.exponents = {}}), "mdcs: there are no exponents", ValueError);
  CHECK_THROWS_WITH_AS(MdcsLoss(kCounts, {.alpha = -1}), "mdcs: alpha must not be negative, it is -1", ValueError);
  CHECK_THROWS_WITH_AS(MdcsLoss(kCounts, {.temperature = 0}), "mdcs: the temperature must be positive, it is 0", ValueError);
  CHECK_THROWS_WITH_AS(MdcsLoss(kCounts, {.warmup = -1}), "mdcs: the warm-up must not be negative, it is -1", ValueError);
  MdcsLoss loss(kCounts);
  Tensor v = zeros({4, 3}, f64), odd = zeros({5, 3}, f64);
  CHECK_THROWS_WITH_AS(loss(three(odd), tensor({0, 1}), 1), "mdcs: 5 rows; weak and strong views come in pairs", ShapeError);
  CHECK_THROWS_WITH_AS(loss({v, v}, tensor({0, 1}), 1), "mdcs: 2 experts for 3 exponents", ShapeError);
  CHECK_THROWS_WITH_AS(loss({v, v, odd}, tensor({0, 1}), 1), "mdcs: logits of experts must have one shape [N, C], got [4, 3] and [5, 3]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(loss(three(v), tensor({0, 3}), 1), "mdcs: label 3 is outside [0, 3)", IndexError);
  CHECK_THROWS_AS(loss(three(v), tensor({0, 1, 2, 0}), 1), ShapeError);
  CHECK_THROWS_AS(loss(three(zeros({4, 2}, f64)), tensor({0, 1}), 1), ShapeError);  // fewer classes than counts
  CHECK_THROWS_WITH_AS(mdcs::mean_logits({}), "mdcs: there are no experts", ValueError);
}

TEST_CASE("mdcs: experts share their trunk, differ in what follows, and copy as a value") {
  manual_seed(7);
  PooledCnnConfig config{.channels = 1, .height = 8, .width = 8, .classes = 3, .first = 2, .features = 4};
  mdcs::ExpertCnn net = mdcs::expert_cnn(config, 3, 5);
  Tensor x = rand({4, 1, 8, 8});
  auto logits = net.logits(x);
  REQUIRE(logits.size() == 3);
  CHECK(logits[0].shape() == Shape{4, 3});
  CHECK(to_vector(logits[0]) != to_vector(logits[1]));
  for (double v : to_vector(logits[2])) CHECK(std::abs(v) <= 5 + 1e-5);
  net.eval();
  check_close(net(x), to_vector(mdcs::mean_logits(net.logits(x))), 1e-6);
  mdcs::ExpertCnn copy = net, single = mdcs::expert_cnn(config, 1, 5);
  CHECK(copy.num_parameters() == net.num_parameters());
  CHECK(to_vector(copy(x)) == to_vector(net(x)));
  CHECK(single.num_parameters() < net.num_parameters());
  Tensor weight = copy.experts[1].head.weight.detach();
  fill_(weight, 1.0);
  CHECK(to_vector(copy(x)) != to_vector(net(x)));  // the copy's experts are its own
  CHECK_THROWS_WITH_AS(mdcs::expert_cnn(config, 0), "mdcs: 0 experts", ValueError);
}

TEST_CASE("mdcs: the experiment measures every variant at the smoke budget") {
  Experiment e = mdcs::experiment();
  Results results = run_experiment({"robust", "mdcs", &mdcs::experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == e.variants.size());
  for (const Variant& v : e.variants) {
    CAPTURE(v.name);
    double all = measured(results, v.name, "accuracy (%)");
    CHECK(all > 12);  // a few epochs: above chance
    CHECK(all <= 100);
    CHECK(measured(results, v.name, "disagreement of two runs (%)") > 0);
  }
  CHECK(measured(results, "balanced softmax", "few (%)") >= measured(results, "cross entropy", "few (%)"));
}
