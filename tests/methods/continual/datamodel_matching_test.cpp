// DMM: targets, fixed points, exact problems where prediction and retraining agree, and both experiments in small.
#include "methods/continual/datamodel_matching/datamodel_matching.h"

#include <doctest/doctest.h>

#include <cmath>

#include "methods/continual/datamodel_matching/problem.h"
#include "methods/runner.h"
#include "models/mlp/mlp.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/methods/measured.h"

using namespace plumb;
using namespace plumb::methods;
namespace dmm = plumb::methods::datamodel_matching;

namespace plumb::methods::datamodel_matching {
Experiment experiment();
}
namespace plumb::methods::datamodel_matching_estimator {
Experiment experiment();
}

namespace {

/// Outputs of 6 points in 2 classes that are linear in which of 6 examples were trained on.
struct Exact {
  Tensor beta, masks;
  DatamodelRegression datamodels{{.lambda = 0}};
  Exact() {
    Generator g(1);
    beta = randn({6, 6, 2}, {.dtype = f64, .generator = &g});
    masks = subset_masks(40, 6, 0.5, g);
    datamodels.fit(masks, outputs(masks));
  }
  Tensor outputs(const Tensor& of) const { return reshape(matmul(to(of, f64), flatten(beta, 1)), {of.size(0), 6, 2}) + 0.3; }
};

}  // namespace

TEST_CASE("datamodel_matching: where outputs are linear in the masks, DM-Direct is the retrained model's answer") {
  Exact e;
  Tensor all = ones({1, 6}), without = ones({1, 6});
  for (int64_t i : {0, 4}) without.data<float>()[i] = 0;
  auto h = to_vector(dmm::datamodel_targets(e.outputs(all), e.datamodels, {0, 4})), retrained = to_vector(e.outputs(without));
  for (size_t k = 0; k < h.size(); ++k) CHECK(h[k] == doctest::Approx(retrained[k]).epsilon(1e-7));
  // Half of the change with a multiplier of ½; each model of a population keeps what is its own.
  Tensor two = expand(e.outputs(all), {2, 6, 2}) + tensor({{{0.0}}, {{10.0}}}, f64);
  auto half = to_vector(dmm::datamodel_targets(two, e.datamodels, {0, 4}, 0.5)), before = to_vector(e.outputs(all));
  for (size_t k = 0; k < 12; ++k) {
    CHECK(half[k] == doctest::Approx((before[k] + retrained[k]) / 2).epsilon(1e-7));
    CHECK(half[12 + k] == doctest::Approx(half[k] + 10).epsilon(1e-9));
  }
}

TEST_CASE("datamodel_matching: with nothing to forget the target is the model itself") {
  Exact e;
  Tensor z = randn({6, 2}).requires_grad_();
  Tensor h = dmm::datamodel_targets(z, e.datamodels, {});
  CHECK(to_vector(h) == to_vector(z));
  CHECK_FALSE(h.requires_grad());
  CHECK(matching_loss(z, h).item() == 0);
}

TEST_CASE("datamodel_matching: a model that can answer the targets comes to answer them, from its own outputs; the original stays") {
  Exact e;
  Generator g(2);
  Tensor x = randn({6, 5}, {.generator = &g});
  manual_seed(3);
  mlp::Mlp original({.inputs = 5, .hidden = {32}, .outputs = 2}), net = original;
  UnlearningTask task(x, tensor({0, 1, 0, 1, 0, 1}), {0, 4});
  Tensor wanted = dmm::datamodel_targets(original(x), e.datamodels, task.forget);
  int64_t cost = dmm::datamodel_matching({[&](const Tensor& in) { return net(in); }, net.parameters()}, task, e.datamodels,
                                         {.lr = 0.05, .momentum = 0.9, .epochs = 400});
  CHECK(cost == 400 * 6);
  CHECK(matching_loss(net(x), wanted).item() < 1e-3 * matching_loss(original(x), wanted).item());
  CHECK(to_vector(original(x) - dmm::datamodel_targets(original(x), e.datamodels, {})) == std::vector<double>(12, 0.0));
}

TEST_CASE("datamodel_matching: mistakes are named") {
  Exact e;
  CHECK_THROWS_WITH_AS(dmm::datamodel_targets(zeros({5, 2}), e.datamodels, {0}),
                       "datamodel_targets: logits [5, 2] for datamodels of outputs [6, 2]", ShapeError);
  CHECK_THROWS_WITH_AS(dmm::datamodel_targets(zeros({6, 2}), e.datamodels, {6}), "datamodel: example 6 is outside [0, 6)", IndexError);
  CHECK_THROWS_WITH_AS(UnlearningTask(zeros({6, 5}), zeros({6}, i64), {}), "unlearning: the forget set is empty", ValueError);
}

TEST_CASE("datamodel_matching: forget sets of the experiment") {
  Generator g(5);
  dmm::Points points = dmm::make_points(60, 20, g);
  CHECK(points.x.shape() == Shape{80, 8});
  auto labels = to_vector<int64_t>(points.train_labels());
  std::vector<int64_t> coherent = dmm::coherent_set(points, 8, g), random = dmm::random_set(points, 8, g);
  CHECK(coherent.size() == 8);
  for (int64_t i : coherent) CHECK(labels[static_cast<size_t>(i)] == labels[static_cast<size_t>(coherent[0])]);
  CHECK(random.size() == 8);
  Tensor masks = dmm::masks_without(points, 3, random);
  CHECK(sum(masks).item() == 3 * 52);
}

TEST_CASE("datamodel_matching: the experiment in small measures every variant, and the references are where they must be") {
  Results results = run_experiment({"continual", "datamodel_matching", &dmm::experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == dmm::experiment().variants.size());
  for (const char* set : {"coherent", "random"}) {
    std::string klom = std::string("forget KLOM, mean, ") + set, cost = std::string("gradients (% of retraining), ") + set;
    double untouched = measured(results, "do nothing", klom);
    CHECK(untouched > 0);
    CHECK(measured(results, "oracle matching", klom) < untouched);
    CHECK(measured(results, "do nothing", cost) == 0);
    CHECK(measured(results, "retrained again", cost) == doctest::Approx(100));
    CHECK(measured(results, "DMM", cost) > 0);
  }
  for (const char* variant : {"retrained again", "DMM"})
    CHECK(measured(results, variant, "forget KLOM, mean, coherent") < measured(results, "do nothing", "forget KLOM, mean, coherent"));
  CHECK(measured(results, "retrained again", "likelihood attack (%), coherent") <
        measured(results, "do nothing", "likelihood attack (%), coherent"));
}

TEST_CASE("datamodel_matching_estimator: the experiment in small measures every variant") {
  Results results = run_experiment({"continual", "datamodel_matching_estimator", &datamodel_matching_estimator::experiment, {}},
                                   {.budget = Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == datamodel_matching_estimator::experiment().variants.size());
  CHECK(measured(results, "retraining with other starts", "rank correlation, left-out points") > 0.5);
  CHECK(measured(results, "influence", "rank correlation, all points") > 0);  // a sign error would turn it
  CHECK(measured(results, "ridge", "rank correlation, all points") > 0);
}
