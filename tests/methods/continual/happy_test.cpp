// Happy: the worked examples, what its losses may and may not move, prototypes, the growing head, stages, accuracy, and the experiment.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "engine/data/digits/digits.h"
#include "methods/common/two_views.h"
#include "methods/continual/happy/discovery.h"
#include "methods/continual/happy/learner.h"
#include "methods/runner.h"
#include "ops/elementary.h"
#include "ops/gradcheck.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/loss.h"
#include "ops/normalize.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"
#include "ops/sort.h"
#include "tests/methods/check_close.h"
#include "tests/methods/measured.h"

using namespace plumb;
using namespace plumb::methods;
using namespace plumb::methods::happy;
using doctest::Approx;

namespace plumb::methods::happy {
Experiment experiment();
}

namespace {

Tensor worked_mean() { return tensor({0.3, 0.25, 0.15, 0.2, 0.1}, f64); }

/// Two labelled classes of worked example 3; rows are of length 1 already.
Tensor worked_features() { return tensor({{1.0, 0.0}, {0.8, 0.6}, {0.6, 0.8}, {0.0, 1.0}, {-0.6, 0.8}}, f64); }

/// Inputs of `n` random images under two views.
StageInputs random_inputs(int64_t n, int64_t side, Generator& g) {
  return {rand({2, n, 1, side, side}, {.generator = &g}), rand({n, 1, side, side}, {.generator = &g})};
}

DiscoveryNetConfig tiny() { return {.side = 8, .first = 4, .second = 8, .features = 12, .hidden = 16, .projected = 8, .classes = 3}; }

/// A learner that knows three classes.
HappyLearner known_learner(Generator& g) {
  manual_seed(1);
  HappyLearner learner{DiscoveryNet(tiny())};
  StageInputs inputs = random_inputs(24, 8, g);
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < 24; ++i) labels.push_back(i % 3);
  learner.learn_known(inputs, from_vector(labels), {}, {.epochs = 2, .batch = 12, .lr = 0.05}, g);
  return learner;
}

StageInputs stems(const HappyLearner& learner, const StageInputs& images) {
  return {stems_of(learner.net(), images.views), stems_of(learner.net(), images.plain)};
}

}  // namespace

// -- entropy ---------------------------------------------------------------------------------------------------------------

TEST_CASE("happy: worked example 1, the entropies of groups, and how they add up to the plain one") {
  SoftEntropy e = soft_entropy(worked_mean(), 3);
  CHECK(e.between.item() == Approx(0.0822829).epsilon(1e-6));
  CHECK(e.old.item() == Approx(0.0376680).epsilon(1e-6));
  CHECK(e.fresh.item() == Approx(0.0566330).epsilon(1e-6));
  CHECK(soft_entropy_regularizer(worked_mean(), 3).item() == Approx(0.176584).epsilon(1e-6));
  CHECK(entropy_gap(worked_mean()).item() == Approx(0.0649584).epsilon(1e-6));
  CHECK(entropy_gap(worked_mean()).item() ==
        Approx(e.between.item() - std::log(2) + 0.7 * (e.old.item() - std::log(3)) + 0.3 * (e.fresh.item() - std::log(2)) + std::log(5))
            .epsilon(1e-10));
  CHECK(soft_entropy_regularizer(worked_mean(), 3, {2, 3, 5}).item() ==
        Approx(2 * e.between.item() + 3 * e.old.item() + 5 * e.fresh.item()).epsilon(1e-12));
}

TEST_CASE("happy: entropies are 0 for uniform predictions of equal groups, never negative, and finite without mass") {
  SoftEntropy uniform = soft_entropy(full({6}, 1.0 / 6, f64), 3);
  for (const Tensor& term : {uniform.between, uniform.old, uniform.fresh}) CHECK(std::abs(term.item()) < 1e-12);
  Generator g(1);
  for (int repeat = 0; repeat < 50; ++repeat) {
    SoftEntropy e = soft_entropy(softmax(3 * randn({7}, {.dtype = f64, .generator = &g}), 0), 1 + repeat % 6);
    for (const Tensor& term : {e.between, e.old, e.fresh}) CHECK(term.item() > -1e-12);
  }
  for (const Tensor& p : {tensor({0.5, 0.0, 0.5, 0.0}, f64), tensor({0.5, 0.5, 0.0, 0.0}, f64), tensor({0.0, 0.0, 1.0, 0.0}, f64)}) {
    Tensor leaf = clone(p).requires_grad_();
    Tensor loss = soft_entropy_regularizer(leaf, 2);
    loss.backward();
    CHECK(std::isfinite(loss.item()));
    for (double v : to_vector(leaf.grad())) CHECK(std::isfinite(v));
  }
  CHECK(soft_entropy(tensor({0.2, 0.3, 0.5}, f64), 2).fresh.item() == Approx(0));  // one new class
  CHECK(gradcheck([](const Tensor& p) { return soft_entropy_regularizer(p, 3); }, {worked_mean()}).passed);
}

// -- losses ----------------------------------------------------------------------------------------------------------------

TEST_CASE("happy: stage 0's loss is made of its five parts") {
  Generator g(2);
  Tensor z = 0.3 * randn({8, 3}, {.dtype = f64, .generator = &g}), u = randn({8, 5}, {.dtype = f64, .generator = &g}),
         y = tensor({0, 1, 2, 1});
  KnownOptions only{.unsupervised = 1, .entropy = 0};
  double unsupervised = known_loss(z, u, y, 0.07, only).item();
  CHECK(unsupervised == Approx(self_distillation(z, 0.1, 0.07).item() + two_view_info_nce(u, 1).item()).epsilon(1e-10));
  only.entropy = 2;
  double gap = entropy_gap(mean(softmax(z, 1, 0.1), {0})).item();
  CHECK(known_loss(z, u, y, 0.07, only).item() == Approx(unsupervised + 2 * gap).epsilon(1e-10));
  double supervised = known_loss(z, u, y, 0.07, {.unsupervised = 0}).item();
  // SupCon by a plain loop, temperature 0.07, positives: all other rows of the class.
  auto unit = to_vector(normalize(u));
  int label[8] = {0, 1, 2, 1, 0, 1, 2, 1};
  double supcon = 0;
  for (size_t i = 0; i < 8; ++i) {
    double total = 0, positives = 0, sum_of = 0;
    for (size_t j = 0; j < 8; ++j) {
      if (j == i) continue;
      double dot = 0;
      for (size_t k = 0; k < 5; ++k) dot += unit[5 * i + k] * unit[5 * j + k];
      total += std::exp(dot / 0.07);
      if (label[i] == label[j]) positives += 1, sum_of += dot / 0.07;
    }
    supcon += (std::log(total) - sum_of / positives) / 8;
  }
  double ce = cross_entropy(z / 0.1, tensor({0, 1, 2, 1, 0, 1, 2, 1})).item();
  CHECK(supervised == Approx(ce + supcon).epsilon(1e-9));
  CHECK(known_loss(z, u, y, 0.07).item() == Approx(0.65 * (unsupervised + gap) + 0.35 * supervised).epsilon(1e-9));
}

TEST_CASE("happy: the terms of a stage, what is left out of them, and which way gradients go") {
  Generator g(3);
  Tensor z = 0.4 * randn({6, 5}, {.dtype = f64, .generator = &g}), u = randn({6, 4}, {.dtype = f64, .generator = &g}),
         f = randn({6, 7}, {.dtype = f64, .generator = &g}), before = randn({6, 7}, {.dtype = f64, .generator = &g}).requires_grad_(),
         drawn = 0.4 * randn({6, 5}, {.dtype = f64, .generator = &g}), y = tensor({0, 2, 1, 1, 0, 2});
  StageOutputs out{clone(z).requires_grad_(), u, clone(f).requires_grad_(), before, clone(drawn).requires_grad_(), y};
  HappyTerms t = happy_terms(out, 3);
  CHECK(t.prototypes.item() == Approx(cross_entropy(drawn / 0.1, y).item()));
  auto a = to_vector(normalize(f)), b = to_vector(normalize(before.detach()));
  double distance = 0;
  for (size_t k = 0; k < 42; ++k) distance += (a[k] - b[k]) * (a[k] - b[k]) / 6;
  CHECK(t.distillation.item() == Approx(distance).epsilon(1e-9));
  CHECK(t.entropy.item() == Approx(soft_entropy_regularizer(mean(softmax(z, 1, 0.1), {0}), 3).item()));
  HappyOptions weighted{.prototypes = 2, .distillation = 3};
  CHECK(t.total(weighted).item() ==
        Approx(t.self_distillation.item() + t.entropy.item() + t.contrastive.item() + 2 * t.prototypes.item() + 3 * t.distillation.item()));
  t.total({}).backward();
  CHECK_FALSE(before.grad().defined());
  for (const Tensor& x : {out.logits, out.features, out.prototype_logits}) CHECK(x.grad().defined());
  // Another network before the stage is another loss.
  out.previous = before.detach() + 1;
  CHECK(happy_terms(out, 3).distillation.item() != Approx(distance));
  HappyTerms simgcd = happy_terms(out, 3, {.entropy = {.between = 0.5}, .soft = false, .prototypes = 0, .distillation = 0});
  CHECK_FALSE(simgcd.prototypes.defined());
  CHECK_FALSE(simgcd.distillation.defined());
  CHECK(simgcd.entropy.item() == Approx(0.5 * entropy_gap(mean(softmax(z, 1, 0.1), {0})).item()));
}

// -- prototypes --------------------------------------------------------------------------------------------------------------

TEST_CASE("happy: worked example 3, the radius, and worked example 2, hardness and shares") {
  PrototypeBank bank;
  bank.fit_labelled(3 * worked_features(), tensor({0, 0, 0, 1, 1}), 2);  // features are normalised first
  CHECK(bank.radius() == Approx(0.246080).epsilon(2e-6));
  check_close(select(bank.prototypes(), 0, 0), {0.8 / std::hypot(0.8, 1.4 / 3), 1.4 / 3 / std::hypot(0.8, 1.4 / 3)});

  PrototypeBank three;
  three.fit_labelled(tensor({{1.0, 0.0}, {0.8, 0.6}, {0.0, 1.0}}), tensor({0, 1, 2}), 3);
  check_close(three.hardness(), {0.4, 0.7, 0.3}, 1e-6);
  check_close(three.shares(0.1), {0.0466126, 0.936240, 0.0171478}, 2e-6);
  check_close(three.shares(std::numeric_limits<double>::infinity()), {1 / 3.0, 1 / 3.0, 1 / 3.0}, 1e-12);
  CHECK(three.radius() == 0);
}

TEST_CASE("happy: drawn features lie about their prototypes at the radius, classes in their shares, outside the graph") {
  Generator g(4);
  PrototypeBank bank;
  bank.fit_labelled(tensor({{1.0, 0.0, 0.0}, {0.8, 0.6, 0.0}, {0.0, 1.0, 0.0}, {0.0, 0.9, 0.4}}), tensor({0, 1, 2, 2}), 3);
  DrawnFeatures drawn = bank.sample(6000, 0.5, g);
  auto shares = to_vector(bank.shares(0.5)), counts = to_vector(bincount(drawn.labels));
  for (size_t c = 0; c < 3; ++c) CHECK(std::abs(counts[c] / 6000 - shares[c]) < 0.03);  // a deviation is 0.0065 at most
  Tensor noise = drawn.features - index_select(bank.prototypes(), 0, drawn.labels);
  CHECK(std::sqrt(mean(square(noise)).item()) == Approx(bank.radius()).epsilon(0.03));
  CHECK_FALSE(drawn.features.requires_grad());
}

TEST_CASE("happy: pseudo-labels add classes, an empty one gets its row of the head, and old ones and the radius stay") {
  PrototypeBank bank;
  bank.fit_labelled(worked_features(), tensor({0, 0, 0, 1, 1}), 2);
  auto before = to_vector(bank.prototypes());
  double radius = bank.radius();
  Tensor rows = tensor({{1.0, 0.0}, {0.0, 1.0}, {1.0, 1.0}, {0.0, -3.0}});
  bank.extend_pseudo(tensor({{-2.0, 0.0}, {0.0, -1.0}, {5.0, 5.0}}), tensor({2, 2, 0}), rows);
  CHECK(bank.size() == 4);
  auto after = to_vector(bank.prototypes());
  CHECK(std::vector<double>(after.begin(), after.begin() + 4) == before);
  check_close(slice(bank.prototypes(), 0, 2), {-std::sqrt(0.5), -std::sqrt(0.5), 0, -1}, 1e-6);
  CHECK(bank.radius() == radius);
}

// -- the head ----------------------------------------------------------------------------------------------------------------

TEST_CASE("happy: after growth old logits are the same bits, and gradients reach all rows") {
  manual_seed(5);
  nn::CosineLinear head(6, 4, {.scale = 1});
  Generator g(6);
  Tensor x = randn({9, 6}, {.generator = &g}), before = head(x);
  grow_head(head, random_rows(3, 6, g));
  CHECK(head.weight.shape() == Shape{7, 6});
  CHECK(to_vector(slice(head(x), 1, 0, 4)) == to_vector(before));
  REQUIRE(head.parameters().size() == 1);
  CHECK(head.parameters()[0].shape() == Shape{7, 6});
  sum(square(head(x))).backward();
  CHECK(head.weight.grad().shape() == Shape{7, 6});
  nn::CosineLinear copy = head;
  CHECK(to_vector(copy(x)) == to_vector(head(x)));
}

TEST_CASE("happy: new rows are the centres that are least like old classes") {
  nn::CosineLinear head(3, 2, {.scale = 1});
  grow_head(head, tensor({{0.0, 0.0, 1.0}}));
  {
    Tensor weight = head.weight.detach();
    copy_data(tensor({{2.0, 0.0, 0.0}, {0.0, 0.5, 0.0}, {0.0, 0.0, 1.0}}), weight);
  }
  // Five clusters of directions: three at the old rows, one opposite to the first, one between the second and third.
  Generator g(7);
  std::vector<Tensor> parts;
  for (const Tensor& centre :
       {tensor({1.0, 0.0, 0.0}), tensor({0.0, 1.0, 0.0}), tensor({0.0, 0.0, 1.0}), tensor({-1.0, 0.0, 0.0}), tensor({0.0, 0.7071, 0.7071})})
    parts.push_back(centre + 0.01 * randn({20, 3}, {.generator = &g}));
  Tensor rows = clustered_rows(head, 5 * cat(parts, 0), 2, g);
  CHECK(rows.shape() == Shape{2, 3});
  auto v = to_vector(rows);
  CHECK(v[0] == Approx(-1).epsilon(0.01));
  CHECK(v[4] == Approx(0.7071).epsilon(0.02));
  CHECK(v[5] == Approx(0.7071).epsilon(0.02));
  for (double length : to_vector(norm(rows, 2, {1}))) CHECK(length == Approx(1).epsilon(1e-6));
}

// -- the learner ---------------------------------------------------------------------------------------------------------------

TEST_CASE("happy: a stage grows head and prototypes, leaves the stem alone, and follows from its generator") {
  Generator g(8);
  HappyLearner learner = known_learner(g), again = learner;
  CHECK(learner.bank().size() == 3);
  CHECK(learner.bank().radius() > 0);
  StageInputs inputs = stems(learner, random_inputs(30, 8, g));
  CHECK(inputs.views.shape() == Shape{2, 30, 4, 4, 4});
  auto stem = to_vector(learner.net().conv1.weight), fc = to_vector(learner.net().fc.weight);
  Generator a(9), b(9);
  learner.discover(inputs, 2, {}, {.epochs = 3, .batch = 10, .lr = 0.05}, a);
  again.discover(inputs, 2, {}, {.epochs = 3, .batch = 10, .lr = 0.05}, b);
  CHECK(to_vector(learner.net().conv1.weight) == stem);
  CHECK(to_vector(learner.net().fc.weight) != fc);
  CHECK(learner.logits(inputs.plain).shape() == Shape{30, 5});
  CHECK(learner.bank().size() == 5);
  CHECK(to_vector(learner.logits(inputs.plain)) == to_vector(again.logits(inputs.plain)));
  learner.discover(inputs, 1, {.soft = false, .prototypes = 0, .distillation = 0, .cluster_init = false}, {.epochs = 1, .batch = 100}, a);
  CHECK(learner.logits(inputs.plain).shape() == Shape{30, 6});
}

TEST_CASE("happy: the teacher's temperature falls in a line, ends included") {
  for (auto [epoch, t] : {std::pair<int64_t, double>{0, 0.07}, {1, 0.055}, {2, 0.04}, {9, 0.04}})
    CHECK(teacher_temperature(epoch, 0.07, 0.04, 3) == Approx(t));
  CHECK(teacher_temperature(0, 0.07, 0.04, 1) == 0.07);
}

// -- stages and accuracy -------------------------------------------------------------------------------------------------------

TEST_CASE("happy: stages bring new classes with a few new examples of old ones, and no example twice") {
  ContinualStream stream = class_stream(data::digits(), {.tasks = 4, .first = 4, .seed = 3});
  auto stages = discovery_stages(stream, {.labelled = 20, .fresh = 15, .old = 4}, 5);
  REQUIRE(stages.size() == 4);
  std::set<std::vector<double>> seen;
  int64_t images = 0;
  for (const DiscoveryStage& s : stages) {
    int64_t n = s.truth.numel();
    CHECK(n == (s.known == 0 ? 80 : 2 * 15 + s.known * 4));
    auto counts = to_vector<int64_t>(bincount(s.truth));
    CHECK(counts.size() == static_cast<size_t>(s.known + s.fresh));
    for (int64_t c = 0; c < s.known; ++c) CHECK(counts[static_cast<size_t>(c)] == 4);
    CHECK(max(s.test_labels).item<int64_t>() == s.known + s.fresh - 1);
    for (int64_t i = 0; i < n; ++i) seen.insert(to_vector(select(s.x, 0, i)));
    images += n;
  }
  CHECK(static_cast<int64_t>(seen.size()) == images);
}

TEST_CASE("happy: accuracy does not depend on the clusters' numbers, and comes from one assignment") {
  Tensor labels = tensor({0, 0, 1, 1, 2, 2, 3, 3}), p = tensor({0, 0, 1, 2, 2, 2, 3, 1});
  DiscoveryAccuracy plain = discovery_accuracy(p, labels, 2, 1),
                    turned = discovery_accuracy(index_select(tensor({7, 3, 5, 0}), 0, p), labels, 2, 1);
  CHECK(plain.all == Approx(75));
  CHECK(plain.old == Approx(75));
  CHECK(plain.fresh == Approx(75));
  CHECK(plain.base == Approx(100));
  CHECK(plain.predicted_old == Approx(50));
  for (auto member : {&DiscoveryAccuracy::all, &DiscoveryAccuracy::old, &DiscoveryAccuracy::fresh, &DiscoveryAccuracy::predicted_old})
    CHECK(plain.*member == turned.*member);
  // Everything in one cluster: it is one class, and all others are missed.
  DiscoveryAccuracy one = discovery_accuracy(zeros({8}, i64), labels, 2, 2);
  CHECK(one.all == Approx(25));
  CHECK(one.old + one.fresh == Approx(50));
  CHECK(std::isnan(discovery_accuracy(zeros({2}, i64), zeros({2}, i64), 0, 0).old));
}

TEST_CASE("happy: mistakes are named") {
  Generator g(1);
  CHECK_THROWS_WITH_AS(soft_entropy(worked_mean(), 0), "soft_entropy: 0 old classes of 5; both old and new ones are needed", ValueError);
  CHECK_THROWS_WITH_AS(soft_entropy(worked_mean(), 5), "soft_entropy: 5 old classes of 5; both old and new ones are needed", ValueError);
  CHECK_THROWS_WITH_AS(entropy_gap(zeros({2, 3})), "entropy_gap: takes probabilities [K], got [2, 3]", ShapeError);
  CHECK_THROWS_AS(happy_terms({.logits = zeros({3, 4}), .projected = zeros({3, 2})}, 2), ShapeError);  // an odd number of rows
  CHECK_THROWS_AS(known_loss(zeros({4, 3}), zeros({4, 2}), tensor({0, 1, 2}), 0.07), ShapeError);
  nn::CosineLinear head(3, 2, {.scale = 1});
  CHECK_THROWS_WITH_AS(grow_head(head, zeros({0, 3})), "happy: there are no new classes", ValueError);
  CHECK_THROWS_WITH_AS(grow_head(head, zeros({1, 4})), "happy: rows [1, 4] for a head [2, 3]", ShapeError);
  CHECK_THROWS_WITH_AS(clustered_rows(head, zeros({3, 3}), 2, g), "happy: 3 examples for 4 clusters", ValueError);
  CHECK_THROWS_WITH_AS(clustered_rows(head, zeros({9, 3}), 0, g), "happy: 0 new classes", ValueError);
  PrototypeBank bank;
  CHECK_THROWS_WITH_AS(bank.sample(4, 0.1, g), "prototypes: there are none yet", ValueError);
  CHECK_THROWS_WITH_AS(bank.extend_pseudo(zeros({2, 3}), tensor({0, 0}), zeros({1, 3})), "prototypes: there are none yet", ValueError);
  CHECK_THROWS_WITH_AS(bank.fit_labelled(ones({2, 3}), tensor({0, 2}), 3), "prototypes: class 1 has no examples", ValueError);
  CHECK_THROWS_WITH_AS(bank.fit_labelled(ones({2, 3}), tensor({0, 3}), 3), "prototypes: label 3 is outside [0, 3)", IndexError);
  bank.fit_labelled(ones({2, 3}), tensor({0, 1}), 2);
  CHECK_THROWS_WITH_AS(bank.extend_pseudo(ones({2, 3}), tensor({0, 1}), ones({2, 3})), "prototypes: of 2 classes 2 are there already",
                       ValueError);
  CHECK_THROWS_WITH_AS(bank.shares(0), "prototypes: the temperature must be positive, it is 0", ValueError);

  manual_seed(1);
  HappyLearner unknowing{DiscoveryNet(tiny())}, learner = known_learner(g);
  StageInputs inputs = stems(learner, random_inputs(8, 8, g));
  CHECK_THROWS_WITH_AS(unknowing.discover(inputs, 2, {}, {}, g), "happy: no classes are known yet; learn_known comes first", ValueError);
  CHECK_THROWS_WITH_AS(learner.discover(inputs, 0, {}, {}, g), "happy: a stage with 0 new classes", ValueError);
  CHECK_THROWS_WITH_AS(learner.discover(inputs, 6, {}, {}, g), "happy: 8 examples for 9 classes", ValueError);
  StageInputs single{slice(inputs.views, 0, 0, 1), inputs.plain};
  CHECK_THROWS_WITH_AS(learner.discover(single, 2, {}, {}, g), "happy: two views of an example are needed, there are 1", ValueError);
  CHECK(learner.bank().size() == 3);  // nothing was changed

  ContinualStream all = class_stream(data::digits(), {.tasks = 1});
  CHECK_THROWS_WITH_AS(discovery_stages(all, {}, 0), "happy: no classes are left to discover, all are in the first task", ValueError);
  ContinualStream stream = class_stream(data::digits(), {.tasks = 4, .first = 4, .per_class = 30});
  CHECK_THROWS_WITH_AS(discovery_stages(stream, {.labelled = 20, .fresh = 20, .old = 4}, 0),
                       "happy: class 0 has 30 training examples, its stages take 32", ValueError);
  CHECK_THROWS_WITH_AS(discovery_stages(stream, {.labelled = 0}, 0), "happy: 0 labelled, 300 new and 30 old examples of a class",
                       ValueError);
}

TEST_CASE("happy: the experiment in small measures every variant") {
  Results results = run_experiment({"continual", "happy", &experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == experiment().variants.size());
  CHECK(measured(results, "frozen and k-means", "all, last stage (%)") > 30);  // 10 by chance, somewhat more by the assignment
  CHECK(measured(results, "Happy", "all, last stage (%)") > 20);
  for (const CellResult& cell : results.cells) {
    CAPTURE(cell.variant);
    double all = measured(results, cell.variant, "all, last stage (%)"), old = measured(results, cell.variant, "old, last stage (%)"),
           fresh = measured(results, cell.variant, "new, last stage (%)");
    CHECK(all == Approx((8 * old + 2 * fresh) / 10));  // as many test images of each class
    CHECK(measured(results, cell.variant, "predicted as old, last stage (%)") <= 100);
  }
}
