// ShrinkMatch: worked examples A and B, properties of the plan, where gradients go, and the experiment.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

#include "methods/runner.h"
#include "methods/semi_supervised/shrinkmatch/shrinkmatch.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

using namespace plumb;
using namespace plumb::methods;
using namespace plumb::methods::shrinkmatch;

namespace plumb::methods::shrinkmatch {
Experiment experiment();
}

namespace {

Tensor example_probabilities() {
  return tensor(
      {{.50, .38, .06, .03, .02, .01}, {.97, .01, .01, .005, .003, .002}, {.30, .02, .25, .28, .10, .05}, {.20, .18, .17, .16, .15, .14}},
      f64);
}
Tensor example_strong() {
  return tensor({{1.0, .5, .2, -.3, .1, -1.0}, {2.0, 0.0, 0.0, 0.0, 0.0, 0.0}, {.4, 1.0, .3, -.2, 0.0, .6}, {0.0, .1, .2, .3, .4, .5}},
                f64);
}
std::vector<int64_t> kept(const ShrinkPlan& plan, int64_t row) {
  std::vector<int64_t> out;
  auto keep = to_vector<int>(select(plan.keep, 0, row));
  for (size_t k = 0; k < keep.size(); ++k)
    if (keep[k]) out.push_back(static_cast<int64_t>(k));
  return out;
}
std::vector<double> f64s(const Tensor& x) { return to_vector(x); }

// conf(c) of one row by definition.
double confidence(std::vector<double> p, int64_t c) {
  std::ranges::sort(p, std::greater<>());
  double rest = 0;
  for (size_t r = static_cast<size_t>(c); r < p.size(); ++r) rest += p[r];
  return p[0] / (p[0] + rest);
}

}  // namespace

TEST_CASE("shrinkmatch: worked example A, threshold 0.9") {
  ShrinkPlan plan = shrink_plan(example_probabilities(), 0.9);
  CHECK(to_vector<int64_t>(plan.top) == std::vector<int64_t>{0, 0, 0, 0});
  CHECK(to_vector<int64_t>(plan.first_kept_rank) == std::vector<int64_t>{4, 1, 5, 5});
  CHECK(to_vector<int>(plan.reached) == std::vector<int>{1, 0, 1, 0});
  CHECK(to_vector<int>(plan.certain) == std::vector<int>{0, 1, 0, 0});
  CHECK(f64s(plan.weight) == std::vector<double>{.5, 0, .3, 0});
  CHECK(kept(plan, 0) == std::vector<int64_t>{0, 4, 5});
  CHECK(kept(plan, 1).size() == 6);
  CHECK(kept(plan, 2) == std::vector<int64_t>{0, 1});
  CHECK(confidence({.50, .38, .06, .03, .02, .01}, 4) == doctest::Approx(.943396).epsilon(2e-6));
  Tensor z = example_strong().requires_grad_();
  Tensor loss = subset_cross_entropy(z, plan.keep, plan.top, plan.weight, 4);
  CHECK(loss.item() == doctest::Approx(.131939).epsilon(1e-5));
  Tensor each = cross_entropy(masked_fill(z, logical_not(plan.keep), -1e9), plan.top, {.reduction = Reduction::none});
  CHECK(f64s(each)[0] == doctest::Approx(.433019).epsilon(3e-6));
  CHECK(f64s(each)[2] == doctest::Approx(1.03749).epsilon(3e-6));
  loss.backward();
  auto g = f64s(z.grad());
  const double row0[6] = {-.0439315, 0, 0, 0, .0329600, .0109714}, row2[6] = {-.0484242, .0484242, 0, 0, 0, 0};
  for (size_t k = 0; k < 6; ++k) {
    CHECK(g[k] == doctest::Approx(row0[k]).epsilon(1e-5));
    CHECK(g[12 + k] == doctest::Approx(row2[k]).epsilon(1e-5));
    CHECK(g[6 + k] == 0);
    CHECK(g[18 + k] == 0);
  }
  for (size_t k : {1u, 2u, 3u, 14u, 15u, 16u, 17u}) CHECK(g[k] == 0);  // removed classes: exactly
}

TEST_CASE("shrinkmatch: worked example B, threshold 0.95, soft and hard certain loss") {
  ShrinkPlan plan = shrink_plan(example_probabilities(), 0.95);
  CHECK(kept(plan, 0) == std::vector<int64_t>{0, 5});
  CHECK(f64s(plan.weight) == std::vector<double>{.5, 0, 0, 0});
  CHECK(to_vector<int64_t>(plan.first_kept_rank)[0] == 5);
  CHECK(subset_cross_entropy(example_strong(), plan.keep, plan.top, plan.weight, 4).item() == doctest::Approx(.0158660).epsilon(1e-5));
  Tensor labelled = tensor({{1.0, 0.0, 0.0, 0.0, 0.0, 0.0}}, f64), labels = tensor({0});
  for (bool hard : {true, false}) {
    ScalarEma rho(0.999);
    ShrinkMatchTerms t =
        shrinkmatch_loss(labelled, labels, example_probabilities(), example_strong(), example_strong(), rho, {.hard = hard});
    CHECK(t.certain_ratio == .25);
    CHECK(t.certain.item() == doctest::Approx(hard ? .129203 : .144203).epsilon(5e-6));
    CHECK(t.shrink.item() == doctest::Approx(.0158660).epsilon(1e-5));
    CHECK(t.progress == .25);
    CHECK(t.total.item() == doctest::Approx(t.supervised.item() + t.certain.item() + .25 * t.shrink.item()).epsilon(1e-12));
    CHECK(t.mean_removed == 4);
    CHECK(f64s(t.weight) == std::vector<double>{.5, 1, 0, 0});
  }
}

TEST_CASE("shrinkmatch: the running share of certain examples") {
  ScalarEma rho(0.999);
  CHECK(rho.update(.1) == doctest::Approx(.1).epsilon(1e-12));
  CHECK(rho.update(.2) == doctest::Approx(.1001).epsilon(1e-12));
  CHECK(rho.update(.4) == doctest::Approx(.1003999).epsilon(1e-12));
}

TEST_CASE("shrinkmatch: all certain rows, or two classes, leave nothing to shrink; three leave one way") {
  Tensor p = example_probabilities(), z = example_strong();
  auto loss = [](const Tensor& logits, const ShrinkPlan& plan) {
    return subset_cross_entropy(logits, plan.keep, plan.top, plan.weight, 4).item();
  };
  CHECK(loss(z, shrink_plan(p, 1.0 / 6)) == 0);
  CHECK(loss(z, shrink_plan(p, 0.05)) == 0);
  Tensor two = tensor({{.6, .4}, {.5, .5}}, f64);
  ShrinkPlan pair = shrink_plan(two, .95);
  CHECK(loss(tensor({{1.0, 0.0}, {0.0, 1.0}}, f64), pair) == 0);
  CHECK(to_vector<int>(pair.keep) == std::vector<int>{1, 1, 1, 1});
  CHECK(to_vector<int>(pair.reached) == std::vector<int>{0, 0});
  CHECK(to_vector<int64_t>(pair.first_kept_rank) == std::vector<int64_t>{1, 1});
  ShrinkPlan triple = shrink_plan(tensor({{.6, .38, .02}, {.4, .35, .25}}, f64), .95);
  CHECK(to_vector<int64_t>(triple.first_kept_rank) == std::vector<int64_t>{2, 2});
  CHECK(to_vector<int>(triple.reached) == std::vector<int>{1, 0});  // .6/.62 = .968; .4/.65
}

TEST_CASE("shrinkmatch: on random rows confidence grows, the top class stays, the first sufficient rank is taken") {
  Generator g(1);
  Tensor p = softmax(2.0 * randn({200, 7}, {.dtype = f64, .generator = &g}), 1);
  ShrinkPlan plan = shrink_plan(p, 0.9);
  auto values = f64s(p);
  auto top = to_vector<int64_t>(plan.top), rank = to_vector<int64_t>(plan.first_kept_rank);
  auto reached = to_vector<int>(plan.reached), certain = to_vector<int>(plan.certain);
  int shrunk = 0, never = 0;
  for (size_t j = 0; j < 200; ++j) {
    std::vector<double> row(values.begin() + static_cast<int64_t>(7 * j), values.begin() + static_cast<int64_t>(7 * j + 7));
    double largest = *std::ranges::max_element(row);
    CHECK(row[static_cast<size_t>(top[j])] == largest);
    auto keep = kept(plan, static_cast<int64_t>(j));
    CHECK(std::ranges::count(keep, top[j]) == 1);
    for (int64_t c = 3; c <= 6; ++c) CHECK(confidence(row, c) >= confidence(row, c - 1));
    if (certain[j]) {
      CHECK(largest >= 0.9);
      CHECK(keep.size() == 7);
      continue;
    }
    CHECK(static_cast<int64_t>(keep.size()) == 8 - rank[j]);
    if (reached[j]) {
      ++shrunk;
      CHECK(confidence(row, rank[j]) >= 0.9);
      if (rank[j] > 2) CHECK(confidence(row, rank[j] - 1) < 0.9);
    } else {
      ++never;
      CHECK(rank[j] == 6);
      CHECK(keep.size() == 2);
    }
  }
  CHECK(shrunk > 20);
  CHECK(never > 0);
}

TEST_CASE("shrinkmatch: with all classes kept the subset loss is the ordinary one, and gradients are the closed form") {
  Generator g(2);
  Tensor z = randn({5, 4}, {.dtype = f64, .generator = &g}), target = tensor({0, 3, 1, 2, 2}),
         weight = tensor({1.0, .5, 0.0, .25, 1.0}, f64);
  Tensor all = ones({5, 4}, boolean);
  Tensor each = cross_entropy(z, target, {.reduction = Reduction::none});
  CHECK(subset_cross_entropy(z, all, target, weight, 5).item() == doctest::Approx(sum(each * weight).item() / 5).epsilon(1e-14));
  Tensor keep = tensor({{true, false, true, true},
                        {true, true, false, true},
                        {true, true, true, true},
                        {false, true, true, false},
                        {true, false, true, false}});
  Tensor leaf = clone(z).requires_grad_();
  subset_cross_entropy(leaf, keep, target, weight, 5).backward();
  auto p = f64s(masked_softmax(z, keep, 1)), w = f64s(weight), got = f64s(leaf.grad());
  auto t = to_vector<int64_t>(target);
  auto k = to_vector<int>(keep);
  for (size_t j = 0; j < 5; ++j)
    for (size_t c = 0; c < 4; ++c) {
      double wanted = k[4 * j + c] ? w[j] * (p[4 * j + c] - (static_cast<int64_t>(c) == t[j])) / 5 : 0;
      CHECK(got[4 * j + c] == doctest::Approx(wanted).epsilon(1e-12));
    }
}

TEST_CASE("shrinkmatch: nothing flows into the probabilities, nor into the main head from the shrunk loss") {
  Tensor p = example_probabilities().requires_grad_(), strong = example_strong().requires_grad_(), aux = example_strong().requires_grad_();
  ScalarEma rho(0.999);
  ShrinkMatchTerms t =
      shrinkmatch_loss(tensor({{1.0, 0.0, 0.0, 0.0, 0.0, 0.0}}, f64), tensor({0}), p, strong, aux, rho, {.threshold = 0.9});
  t.shrink.backward();
  CHECK_FALSE(strong.grad().defined());
  CHECK(aux.grad().defined());
  CHECK_FALSE(p.grad().defined());
  t.certain.backward();
  CHECK(strong.grad().defined());
  CHECK_FALSE(p.grad().defined());
}

TEST_CASE("shrinkmatch: the control keeps all classes and uses every uncertain row; the principles can be left out") {
  ShrinkPlan control = full_space_plan(example_probabilities(), 0.9);
  CHECK(f64s(control.weight) == std::vector<double>{.5, 0, .3, .2});
  CHECK(to_vector<int>(control.keep) == std::vector<int>(24, 1));
  Tensor labelled = tensor({{1.0, 0.0, 0.0, 0.0, 0.0, 0.0}}, f64), labels = tensor({0});
  auto terms = [&](const ShrinkMatchOptions& o) {
    ScalarEma rho(0.999);
    return shrinkmatch_loss(labelled, labels, example_probabilities(), example_strong(), example_strong(), rho, o);
  };
  CHECK(terms({.threshold = 0.9, .sample_weight = false}).shrink.item() == doctest::Approx((.433019 + 1.03749) / 4).epsilon(1e-5));
  auto full = terms({.threshold = 0.9, .progress_weight = false});
  CHECK(full.progress == 1);
  CHECK(full.total.item() == doctest::Approx(full.supervised.item() + full.certain.item() + .131939).epsilon(1e-5));
}

TEST_CASE("shrinkmatch: mistakes are named") {
  Tensor p = example_probabilities(), z = example_strong();
  CHECK_THROWS_WITH_AS(shrink_plan(p, 0), "shrink_plan: the threshold must lie in (0, 1], it is 0", ValueError);
  CHECK_THROWS_WITH_AS(shrink_plan(p, 1.5), "shrink_plan: the threshold must lie in (0, 1], it is 1.5", ValueError);
  CHECK_THROWS_WITH_AS(shrink_plan(tensor({{.5, .4}}), .9), "shrink_plan: row 0 of the probabilities sums to 0.9, not 1", ValueError);
  ScalarEma rho(0.999);
  CHECK_THROWS_WITH_AS(shrinkmatch_loss(z, tensor({0, 0, 0, 0}), p, zeros({4, 5}, f64), z, rho, {}),
                       "shrinkmatch: probabilities [4, 6], strong logits [4, 5], auxiliary logits [4, 6]", ShapeError);
  CHECK_THROWS_WITH_AS(subset_cross_entropy(z, ones({4, 5}, boolean), tensor({0, 0, 0, 0}), ones({4}, f64), 4),
                       "subset_cross_entropy: logits [4, 6] with kept classes [4, 5]", ShapeError);
}

TEST_CASE("shrinkmatch: the experiment measures every variant at the smoke budget") {
  Results results = run_experiment({"semi_supervised", "shrinkmatch", &shrinkmatch::experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == 11);
  std::map<std::string, std::map<std::string, double>> m;
  for (const CellResult& cell : results.cells)
    for (auto& [name, value] : cell.measured.metrics) m[cell.variant][name] = value;
  for (auto& [variant, values] : m) {
    CAPTURE(variant);
    if (variant != "FlexMatch")
      CHECK(values["test accuracy, 2 labels a class (%)"] > 20);  // chance is 10; FlexMatch's thresholds start at 0
    CHECK(values["certain, 2 labels a class (%)"] <= values["used, 2 labels a class (%)"] + 1e-9);
    bool shrinks = variant.starts_with("ShrinkMatch");
    if (shrinks) CHECK(values["classes kept, 2 labels a class"] < 10);
    else CHECK(values["classes kept, 2 labels a class"] == 10);
  }
  CHECK(m["supervised"]["used, 2 labels a class (%)"] == 0);
  CHECK(m["no shrinking"]["used, 2 labels a class (%)"] == doctest::Approx(100));
  CHECK(m["ShrinkMatch"]["used, 2 labels a class (%)"] > m["FixMatch"]["used, 2 labels a class (%)"]);
}

TEST_CASE("shrinkmatch: a probability equal to the threshold is sure, though both were rounded to f32") {
  for (double threshold : {0.7, 0.8, 0.9, 0.95})  // 0.9 is a little less in f32
    CHECK(to_vector<int>(shrink_plan(tensor({{threshold, 1 - threshold, 0.0}}, f32), threshold).certain)[0] == 1);
}
