// Rehearsal-free learning: the worked numbers, the limits of the weights, what is held and what is not, and the experiment in small.
#include "methods/continual/rehearsal_free/rehearsal_free.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "engine/core/error.h"
#include "engine/data/digits/digits.h"
#include "methods/common/small_cnn.h"
#include "methods/runner.h"
#include "ops/elementary.h"
#include "ops/matmul.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"
#include "tests/methods/check_close.h"

using namespace plumb;
using namespace plumb::methods;
using namespace plumb::methods::rehearsal_free;
namespace plumb::methods::rehearsal_free {
Experiment experiment();
}
using Numbers = std::vector<double>;
using doctest::Approx;

namespace {

Tensor worked_student() { return tensor({{0.8, 0.9, 2.0, -1.0}}, f64); }
Tensor worked_teacher() { return tensor({{1.0, 0.5}}, f64); }

SmallCnn small_net() {
  manual_seed(1);
  SmallCnn net({.width = 4, .features = 16});
  start_without_norms(net);
  return net;
}
ContinualStream few_digits() { return class_stream(data::digits(), {.tasks = 5, .per_class = 16, .test_per_class = 10}); }

// The trainer after the first `tasks` tasks, two epochs of two steps each.
ContinualTrainer<SmallCnn> trained(const RehearsalFreeOptions& options, size_t tasks) {
  ContinualTrainer<SmallCnn> learner(small_net(), {.epochs = 2, .batch = 16, .sgd = {.lr = 0.02, .momentum = 0.9}},
                                     std::make_unique<RehearsalFree<SmallCnn>>(options));
  ContinualStream stream = few_digits();
  for (size_t t = 0; t < tasks; ++t) learner.learn(stream, t);
  return learner;
}
Numbers numbers(const SmallCnn& net) {
  Numbers all;
  for (const Tensor& p : net.parameters())
    for (double x : to_vector(p)) all.push_back(x);
  return all;
}
Numbers after(const RehearsalFreeOptions& options, size_t tasks = 2) { return numbers(trained(options, tasks).model()); }

}  // namespace

TEST_CASE("rehearsal_free: prediction distillation by independent outputs, worked example 1") {
  Tensor y = tensor({2});
  CHECK(multilabel_lwf_loss(worked_student(), worked_teacher(), y, 2, 4, 1).item() == Approx(0.426846).epsilon(1e-6));
  CHECK(multilabel_lwf_loss(worked_student(), worked_teacher(), y, 2, 4).item() == Approx(2.134230).epsilon(1e-6));
  CHECK(multilabel_loss(worked_student(), y, 2, 4, 1).item() == Approx((0.126928 + 0.313262) / 2).epsilon(1e-6));
  // Old targets 0: the first two terms become −log(1 − σ(z)).
  double old = std::log1p(std::exp(0.8)) + std::log1p(std::exp(0.9));
  CHECK(multilabel_loss(worked_student(), y, 0, 4, 1).item() == Approx((old + 0.126928 + 0.313262) / 4).epsilon(1e-6));
  CHECK(multilabel_lwf_loss(worked_student(), {}, y, 0, 4, 1).item() == multilabel_loss(worked_student(), y, 0, 4, 1).item());
}

TEST_CASE("rehearsal_free: softmax distillation and the local and global cross-entropy, worked example 2") {
  check_close(softmax(worked_teacher(), 1, 2), {0.562177, 0.437823}, 1e-5);
  CHECK(knowledge_distillation(worked_student(), worked_teacher(), 0, 2, 2).item() == Approx(0.696568).epsilon(1e-6));
  Tensor y = tensor({2});
  CHECK(local_cross_entropy(worked_student(), y, 2, 4).item() == Approx(0.0485874).epsilon(1e-6));
  CHECK(local_cross_entropy(worked_student(), y, 0, 4).item() == Approx(0.521084).epsilon(1e-6));
  RehearsalFreeOptions kd{.classification = Classification::softmax_distilled};
  CHECK(classification_loss(kd, worked_student(), worked_teacher(), y, {2, 4}).item() == Approx(0.521084 + 0.696568).epsilon(1e-6));
}

TEST_CASE("rehearsal_free: features, L2 and EWC, worked example 3") {
  CHECK(feature_distillation(tensor({{1.0, 2.0, -1.0}}, f64), tensor({{1.2, 1.7, -1.1}}, f64)).item() == Approx(0.14 / 3));
  Tensor theta = tensor({1.1, -1.8, 0.4}, f64), a = tensor({1.0, -2.0, 0.5}, f64);
  CHECK(QuadraticAnchor({theta}, {ones({3}, f64)}, {a}, 1).penalty().item() == Approx(0.06));
  CHECK(QuadraticAnchor({theta}, {tensor({0.2, 0.05, 1.0}, f64)}, {a}, 1).penalty().item() == Approx(0.014));

  // EWC with F = 1 and twice the weight is L2.
  Ewc ewc({{"theta", theta}}, {.strength = 2 * 0.05, .online = true, .decay = 1});
  ewc.consolidate({{"theta"}, {ones({3}, f64)}, {a}});
  CHECK(ewc.penalty().item() == Approx(QuadraticAnchor({theta}, {ones({3}, f64)}, {a}, 0.05).penalty().item()).epsilon(1e-14));
}

TEST_CASE("rehearsal_free: Fisher diagonals, worked examples 4 and 5") {
  Tensor x = tensor({{1.0, 2.0}}, f64);
  Tensor w = tensor({{0.5, 0.0}, {0.0, 0.25}, {0.0, 0.0}}, f64).requires_grad_();
  auto logits = [&](const std::vector<Tensor>& in) { return std::vector<Tensor>{matmul(in[0], mT(w))}; };
  FisherDiagonal own = estimate_fisher(logits, {{"w", w}}, x, {}, {.labels = FisherLabels::pseudo, .unit = FisherUnit::sample});
  check_close(own.omega[0], {0.379885, 1.519541, 0.147189, 0.588755, 0.0541477, 0.216591}, 1e-5);
  FisherDiagonal exact = estimate_fisher(logits, {{"w", w}}, x, {}, {.labels = FisherLabels::expected, .unit = FisherUnit::sample});
  check_close(exact.omega[0], {0.236463, 0.945852, 0.236463, 0.945852, 0.178549, 0.714195}, 1e-5);

  Tensor rows = tensor({{0.5, 0.0}, {0.0, 0.25}}, f64).requires_grad_();
  auto two = [&](const std::vector<Tensor>& in) { return std::vector<Tensor>{matmul(in[0], mT(rows))}; };
  ContinualExamples example{x, tensor({0}), tensor({0})};
  Numbers squares{0.0356342, 0.142537, 0.0968639, 0.387456};
  for (FisherUnit unit : {FisherUnit::batch, FisherUnit::sample})
    check_close(multilabel_fisher(two, {{"w", rows}}, example, {0, 2}, {.unit = unit, .scale = 1}).omega[0], squares, 1e-5);
  Tensor scaled = multilabel_fisher(two, {{"w", rows}}, example, {0, 2}).omega[0];
  CHECK(select(select(scaled, 0, 0), 0, 0).item() == Approx(25 * squares[0]).epsilon(1e-5));
}

TEST_CASE("rehearsal_free: a batch's Fisher is B times the square of its mean gradient") {
  Generator g(4);
  Tensor w = randn({4, 3}, {.dtype = f64, .generator = &g}).requires_grad_(), x = randn({6, 3}, {.dtype = f64, .generator = &g});
  auto logits = [&](const std::vector<Tensor>& in) { return std::vector<Tensor>{matmul(in[0], mT(w))}; };
  ContinualExamples six{x, tensor({2, 3, 3, 2, 2, 3}), zeros({6}, i64)};
  FisherDiagonal f = multilabel_fisher(logits, {{"w", w}}, six, {2, 4}, {.batch = 3, .scale = 2});
  Tensor expected = zeros({4, 3}, f64);
  for (int64_t k : {0, 3}) {
    w.zero_grad();
    multilabel_loss(matmul(narrow(x, 0, k, 3), mT(w)), narrow(six.labels, 0, k, 3), 2, 4, 2).backward();
    expected = expected + square(w.grad()) * (3.0 / 2);
  }
  check_close(f.omega[0], to_vector(expected), 1e-12);
  // Rows of other classes take no part in the loss; nothing is negative.
  for (int64_t c = 0; c < 4; ++c) CHECK((max(select(f.omega[0], 0, c)).item() == 0) == (c < 2));
  CHECK(min(f.omega[0]).item() >= 0);
  double middle = 0.5 * max(f.omega[0]).item();
  FisherDiagonal cut = multilabel_fisher(logits, {{"w", w}}, six, {2, 4}, {.batch = 3, .scale = 2, .largest = middle});
  check_close(cut.omega[0], to_vector(minimum(f.omega[0], full({1}, middle, f64))), 1e-14);
  for (FisherLabels labels : {FisherLabels::pseudo, FisherLabels::sampled}) {
    Generator draws(1);
    auto other = multilabel_fisher(logits, {{"w", w}}, six, {2, 4}, {.labels = labels, .batch = 3, .scale = 2, .generator = &draws});
    CHECK(to_vector(other.omega[0]) != to_vector(f.omega[0]));
  }
}

TEST_CASE("rehearsal_free: measures of an accuracy matrix, worked example 6") {
  data::AccuracyMatrix a{{90, 0, 0}, {70, 80, 0}, {50, 60, 85}};
  CHECK(data::average_accuracy(a) == Approx(65));
  CHECK(data::forgetting(a) == Approx(30));
  CHECK(data::average_incremental_accuracy(a) == Approx(76.6667).epsilon(1e-6));
}

TEST_CASE("rehearsal_free: regularisers of weight 0 are the plain loss bit for bit, and are not otherwise") {
  for (Classification c : {Classification::predkd, Classification::local_bce, Classification::softmax}) {
    Numbers plain = after({.classification = c, .regulariser = Regulariser::none});
    for (Regulariser r : {Regulariser::features, Regulariser::l2, Regulariser::l2_later, Regulariser::ewc, Regulariser::l2_then_ewc}) {
      CHECK(after({.classification = c, .regulariser = r, .weight = 0, .l2_weight = 0}) == plain);
      CHECK(after({.classification = c, .regulariser = r, .weight = 0.5}) != plain);
    }
  }
}

TEST_CASE("rehearsal_free: which regulariser acts in the first task") {
  Numbers plain = after({.regulariser = Regulariser::none}, 1);
  CHECK(after({.regulariser = Regulariser::l2, .weight = 0.5}, 1) != plain);
  CHECK(after({.regulariser = Regulariser::features, .weight = 0.5}, 1) != plain);
  CHECK(after({.regulariser = Regulariser::l2_later, .weight = 0.5}, 1) == plain);
  CHECK(after({.regulariser = Regulariser::ewc, .weight = 0.5}, 1) == plain);
  CHECK(after({.regulariser = Regulariser::l2_then_ewc, .weight = 0.5, .l2_weight = 0.3}, 1) ==
        after({.regulariser = Regulariser::l2, .weight = 0.3}, 1));
  CHECK(after({.regulariser = Regulariser::l2_then_ewc, .weight = 0.5, .l2_weight = 0}, 2) ==
        after({.regulariser = Regulariser::ewc, .weight = 0.5}, 2));
}

namespace {

// Follows the gradients of the classification loss and how far the backbone is from its anchor, in the first task.
struct Watched : RehearsalFree<SmallCnn> {
  double lambda, lr, largest_gradient = 0, farthest = 0;
  std::vector<nn::NamedTensor> backbone;
  std::vector<Tensor> anchor;
  Watched(double lambda, double lr)
      : RehearsalFree<SmallCnn>({.classification = Classification::local_bce, .weight = lambda}), lambda(lambda), lr(lr) {}
  void begin_task(SmallCnn& net, const TaskContext& c) override {
    RehearsalFree<SmallCnn>::begin_task(net, c);
    backbone = backbone_parameters(net);
    NoGrad off;
    for (const auto& p : backbone) anchor.push_back(clone(p.tensor.detach()));
  }
  void after_step(SmallCnn&, const TaskContext&) override {
    NoGrad off;
    for (size_t k = 0; k < backbone.size(); ++k) {
      Tensor total = backbone[k].tensor.grad(), away = backbone[k].tensor - anchor[k];
      Tensor before = away + total * lr;
      largest_gradient = std::max(largest_gradient, max(abs(total - before * (2 * lambda))).item());
      farthest = std::max(farthest, max(abs(away)).item());
    }
  }
};

}  // namespace

TEST_CASE("rehearsal_free: under a stiff L2 plain descent keeps the backbone within max |g| / 2λ, and the head still learns") {
  const double lambda = 20, lr = 0.02;  // lr · 2λ = 0.8
  auto watched = std::make_unique<Watched>(lambda, lr);
  Watched& w = *watched;
  ContinualTrainer<SmallCnn> learner(small_net(), {.epochs = 5, .batch = 16, .sgd = {.lr = lr}}, std::move(watched));
  learner.learn(few_digits(), 0);
  CHECK(w.largest_gradient > 0);
  CHECK(w.farthest > 0);
  CHECK(w.farthest <= w.largest_gradient / (2 * lambda) * (1 + 1e-3));
  SmallCnn start = small_net();
  CHECK(to_vector(learner.model().head.weight) != to_vector(start.head.weight));
}

TEST_CASE("rehearsal_free: local losses leave old rows of the head alone, and distillation from itself pulls at nothing old") {
  SmallCnn net = small_net();
  net.eval();
  Generator g(3);
  Tensor x = rand({5, 1, 8, 8}, {.generator = &g}), y = tensor({2, 3, 3, 2, 2});
  for (bool softmax : {false, true}) {
    net.zero_grad();
    Tensor z = net(x);
    (softmax ? local_cross_entropy(z, y, 2, 4) : multilabel_loss(z, y, 2, 4)).backward();
    for (int64_t c = 0; c < 10; ++c) CHECK((max(abs(select(net.head.weight.grad(), 0, c))).item() == 0) == (c < 2 || c > 3));
  }
  Tensor z = net(x).detach().requires_grad_();
  multilabel_lwf_loss(z, z.detach(), y, 2, 4).backward();
  CHECK(max(abs(narrow(z.grad(), 1, 0, 2))).item() < 1e-7);
  CHECK(max(abs(narrow(z.grad(), 1, 2, 2))).item() > 1e-2);
}

TEST_CASE("rehearsal_free: the head is never held, a frozen backbone never moves, and only what is named moves where others are frozen") {
  auto learner = trained({.regulariser = Regulariser::ewc, .weight = 1}, 2);
  const Ewc& ewc = static_cast<RehearsalFree<SmallCnn>&>(learner.method()).ewc();
  REQUIRE(ewc.anchors().size() == 1);
  SmallCnn& net = learner.model();
  CHECK(ewc.anchors()[0].omega().size() == backbone_parameters(net).size());
  for (const Tensor& w : ewc.anchors()[0].omega()) CHECK(min(w).item() >= 0);
  net.zero_grad();
  ewc.penalty().backward();
  CHECK_FALSE(net.head.weight.grad().defined());
  CHECK(net.conv1.weight.grad().defined());

  SmallCnn start = small_net(), frozen = trained({.regulariser = Regulariser::freeze}, 2).model();
  CHECK(to_vector(frozen.fc.weight) == to_vector(start.fc.weight));
  CHECK(to_vector(frozen.conv1.weight) == to_vector(start.conv1.weight));
  CHECK(to_vector(frozen.head.weight) != to_vector(start.head.weight));

  SmallCnn some =
      trained({.weight = 0.1, .held = [](const std::string& name) { return name.starts_with("fc."); }, .freeze_others = true}, 2).model();
  CHECK(to_vector(some.conv1.weight) == to_vector(start.conv1.weight));
  CHECK(to_vector(some.fc.weight) != to_vector(start.fc.weight));
  CHECK(to_vector(some.head.weight) != to_vector(start.head.weight));
}

TEST_CASE("rehearsal_free: mistakes are named") {
  Tensor z = zeros({1, 4}), y = tensor({2});
  CHECK_THROWS_WITH_AS(multilabel_lwf_loss(z, zeros({1, 2}), y, 0, 4), "multilabel_lwf_loss: a teacher, but no old classes: s = 0",
                       ValueError);
  CHECK_THROWS_WITH_AS(multilabel_lwf_loss(z, {}, y, 2, 4), "multilabel_lwf_loss: 2 old classes, but no teacher", ValueError);
  CHECK_THROWS_WITH_AS(multilabel_lwf_loss(z, zeros({1, 5}), y, 2, 4),
                       "multilabel_lwf_loss: a teacher's [1, 5] for a student's [1, 4] with 2 old classes", ShapeError);
  CHECK_THROWS_WITH_AS(multilabel_lwf_loss(z, zeros({1, 2}), tensor({1}), 2, 4), "multilabel_lwf_loss: label 1 is outside [2, 4)",
                       IndexError);
  CHECK_THROWS_WITH_AS(multilabel_loss(z, y, 4, 4), "multilabel_loss: no classes in [4, 4) of 4 outputs", ValueError);
  CHECK_THROWS_WITH_AS(knowledge_distillation(z, z, 0, 2, -1), "knowledge_distillation: the temperature is -1, it must be positive",
                       ValueError);
  CHECK_THROWS_WITH_AS(QuadraticAnchor({{"w", z}}, FisherDiagonal{{"v"}, {z}, {z}}, 1),
                       "anchor: the Fisher diagonal has no parameter \"w\"", ValueError);
  CHECK_THROWS_WITH_AS(RehearsalFree<SmallCnn>({.weight = -1}), "rehearsal_free: the weights -1 and 0.05 must not be negative", ValueError);
  CHECK_THROWS_WITH_AS(RehearsalFree<SmallCnn>({.temperature = 0}), "rehearsal_free: scale 5 and temperature 0 must be positive",
                       ValueError);
  auto none = [](const std::vector<Tensor>& x) { return x; };
  CHECK_THROWS_WITH_AS(multilabel_fisher(none, {{"w", z}}, {}, {0, 2}), "multilabel_fisher: there are no examples", ValueError);
}

TEST_CASE("rehearsal_free: the experiment in small") {
  Results results = run_experiment({"continual", "rehearsal_free", &experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  Experiment e = experiment();
  REQUIRE(results.cells.size() == e.variants.size());
  std::map<std::string, Numbers> measured;
  for (const CellResult& cell : results.cells) {
    CAPTURE(cell.variant);
    CHECK(cell.measured.metrics.size() == e.metrics.size());
    for (const auto& [name, value] : cell.measured.metrics) {
      CAPTURE(name);
      CHECK((value >= (name.starts_with("forgetting") ? -100 : 0) && value <= 100));
      measured[cell.variant].push_back(value);
    }
    CHECK(cell.measured.curves.size() == 2);
  }
  // Two steps a task already tell softmax over everything from the task's own classes: the newest are preferred.
  CHECK(measured.at("naive, CE") != measured.at("FT++"));
  CHECK(measured.at("joint") != measured.at("naive, CE"));
}
