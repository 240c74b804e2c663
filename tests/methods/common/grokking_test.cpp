// Pairs of modular arithmetic, their network without biases, and the log that finds delays.
#include "methods/common/grokking.h"

#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include "engine/autograd/backward.h"
#include "ops/activation.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

using namespace plumb;
using namespace plumb::methods;

TEST_CASE("algorithmic_data: the parts cover the table once, and pairs name the ones of both numbers") {
  AlgorithmicData data = algorithmic_data({.modulus = 11, .train = 0.4, .seed = 3});
  CHECK(data.modulus == 11);
  CHECK(data.train.size() == 48);
  CHECK(data.test.size() == 73);
  std::set<std::pair<int64_t, int64_t>> seen;
  for (const PairExamples& part : {data.train, data.test}) {
    CHECK(part.pairs.shape() == Shape{part.size(), 2});
    std::vector<int64_t> pairs = to_vector<int64_t>(part.pairs), labels = to_vector<int64_t>(part.labels);
    for (size_t i = 0; i < labels.size(); ++i) {
      int64_t a = pairs[2 * i], b = pairs[2 * i + 1] - 11;
      CHECK((a >= 0 && a < 11 && b >= 0 && b < 11));
      CHECK(labels[i] == (a + b) % 11);
      CHECK(seen.insert({a, b}).second);
    }
  }
  CHECK(to_vector<int64_t>(algorithmic_data({.modulus = 11, .train = 0.4, .seed = 4}).train.pairs) != to_vector<int64_t>(data.train.pairs));
  AlgorithmicData products = algorithmic_data({.modulus = 7, .operation = data::ModularOperation::multiply});
  std::vector<int64_t> first = to_vector<int64_t>(narrow(products.test.pairs, 0, 0, 1));
  CHECK(to_vector<int64_t>(products.test.labels)[0] == first[0] * (first[1] - 7) % 7);
}

TEST_CASE("algorithmic_data: a table of nothing and an empty part are errors") {
  CHECK_THROWS_WITH_AS(algorithmic_data({.modulus = 1}), "modular_arithmetic: the modulus 1 is outside [2, 65535]", ValueError);
  CHECK_THROWS_WITH_AS(algorithmic_data({.modulus = 5, .train = 0}), "algorithmic_data: the training share 0 is outside (0, 1)",
                       ValueError);
  CHECK_THROWS_WITH_AS(algorithmic_data({.modulus = 5, .train = 1}), "algorithmic_data: the training share 1 is outside (0, 1)",
                       ValueError);
}

TEST_CASE("PairMlp: the same as a plain network on one-hot inputs") {
  manual_seed(2);
  PairMlp model({.modulus = 5, .hidden = {8, 6}, .logit_scale = 0.5, .dtype = f64});
  Tensor pairs = tensor({{0, 5}, {3, 9}, {4, 7}});
  Tensor x = to(sum(one_hot(pairs, 10), {1}), f64);
  std::vector<Tensor> w = model.parameters();
  REQUIRE(w.size() == 3);
  CHECK(w[0].shape() == Shape{10, 8});
  CHECK(w[1].shape() == Shape{6, 8});
  CHECK(w[2].shape() == Shape{5, 6});
  Tensor expected = matmul(relu(matmul(relu(matmul(x, w[0])), mT(w[1]))), mT(w[2])) * 0.5;
  std::vector<double> a = to_vector(model(pairs)), b = to_vector(expected);
  for (size_t i = 0; i < a.size(); ++i) CHECK(a[i] == doctest::Approx(b[i]).epsilon(1e-13));
  double bound = 1 / std::sqrt(10.0), largest = max(w[0]).item(), smallest = min(w[0]).item();
  CHECK(largest <= bound);
  CHECK(smallest >= -bound);
  CHECK(largest - smallest > 1.5 * bound);

  PairMlp copy = model;  // independent
  CHECK(!copy.parameters()[0].same_as(w[0]));
  CHECK(to_vector(copy(pairs)) == a);
}

TEST_CASE("PairMlp: homogeneous of degree 3, so that gradients times weights add up to 3 times those of the logits") {
  manual_seed(4);
  AlgorithmicData data = algorithmic_data({.modulus = 7});
  PairMlp model({.modulus = 7, .hidden = {12, 9}, .dtype = f64});
  std::vector<Tensor> w = model.parameters();
  Tensor logits = model(data.train.pairs);
  std::vector<Tensor> wanted = w;
  wanted.push_back(logits);
  std::vector<Tensor> g = grad({cross_entropy(logits, data.train.labels)}, wanted);
  double per_layer = sum(g[3] * logits.detach()).item();
  for (size_t i = 0; i < 3; ++i) CHECK(sum(g[i] * w[i].detach()).item() == doctest::Approx(per_layer).epsilon(1e-10));
}

TEST_CASE("PairMlp: shapes that make no network are errors") {
  CHECK_THROWS_WITH_AS(PairMlp({.modulus = 1}), "pair_mlp: the modulus 1 is below 2", ValueError);
  CHECK_THROWS_WITH_AS(PairMlp({.modulus = 5, .hidden = {}}), "pair_mlp: needs a hidden layer", ValueError);
  CHECK_THROWS_WITH_AS(PairMlp({.modulus = 5, .hidden = {4, 0}}), "pair_mlp: a hidden layer of 0 units", ValueError);
}

TEST_CASE("GrokkingLog: finds when each part was learned") {
  GrokkingLog log;
  CHECK_THROWS_WITH_AS(log.last(), "grokking_log: nothing was logged", ValueError);
  log.add({.epoch = 0, .train_accuracy = 0.1, .test_accuracy = 0.1});
  log.add({.epoch = 20, .train_accuracy = 1, .test_accuracy = 0.2});
  log.add({.epoch = 40, .train_accuracy = 0.9, .test_accuracy = 0.96});
  using Part = GrokkingLog::Part;
  CHECK(log.epoch_reaching(0.95, Part::train) == 20);
  CHECK(log.epoch_reaching(0.95, Part::test) == 40);
  CHECK(log.delay(0.95) == 20);
  CHECK(log.epoch_reaching(0.97, Part::test) == -1);
  CHECK(log.delay(0.97) == -1);
  CHECK(log.last().epoch == 40);
  CHECK_THROWS_WITH_AS(log.add({.epoch = 40}), "grokking_log: epoch 40 comes after 40", ValueError);
}
