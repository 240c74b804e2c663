// Unlearning: the convex rates, what each way does to a model, and forget sets that make no task.
#include "methods/common/unlearning.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "models/mlp/population.h"
#include "ops/elementary.h"
#include "ops/gradcheck.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

using namespace plumb;
using namespace plumb::methods;

namespace {

struct Toy {
  Tensor x, labels;
  mlp::Mlp original;
  UnlearningTask task;
};
Toy toy() {
  Generator g(2);
  Tensor x = randn({12, 3}, {.generator = &g}), y = randint(0, 3, {12}, {.dtype = i64, .generator = &g});
  manual_seed(1);
  return {x, y, mlp::Mlp({.inputs = 3, .hidden = {8}, .outputs = 3}), UnlearningTask(x, y, {2, 7})};
}

UnlearningModel model_of(const mlp::Mlp& net) {
  return {[&](const Tensor& x) { return net(x); }, net.parameters()};
}

double loss_on(const mlp::Mlp& net, const Toy& t, const std::vector<int64_t>& places) {
  Tensor at = from_vector(places);
  return cross_entropy(net(index_select(t.x, 0, at)), index_select(t.labels, 0, at)).item();
}

/// The linear model f = θᵀx of worked example 4.
struct LinearModel {
  Tensor theta = tensor({{1.0}, {0.990099}}, f64).requires_grad_();
  UnlearningTask task{tensor({{1.0, 0.0}, {0.0, 1.0}}, f64), tensor({0, 0}), {1}};
  UnlearningModel model() const {
    return {[t = theta](const Tensor& x) { return matmul(x, t); }, {theta}};
  }
};

}  // namespace

TEST_CASE("unlearning: worked example 4, what gradient descent on the retain set and matching do to a direction of the forget set alone") {
  auto half_square = [](const Tensor& z, const Tensor&) { return 0.5 * square(select(z, -1, 0) - 1); };
  LinearModel descent;
  retain_finetune(descent.model(), descent.task, {.lr = 0.5, .weight_decay = 0.01, .epochs = 10, .loss = half_square});
  CHECK(to_vector(descent.theta)[1] == doctest::Approx(0.941693).epsilon(1e-6));
  // The mean over two points of (f − h)² is the example's ½ Σ (f − h)².
  LinearModel matching;
  oracle_matching(matching.model(), matching.task, tensor({{1.0}, {0.0}}, f64), {.lr = 0.5, .epochs = 10});
  CHECK(to_vector(matching.theta)[1] == doctest::Approx(0.000966894).epsilon(1e-5));
  CHECK(to_vector(matching.theta)[0] == 1);
}

TEST_CASE("unlearning: matching the model's own outputs changes nothing") {
  Toy t = toy();
  mlp::Mlp net = t.original;
  Tensor own = net(t.x).detach();
  Tensor loss = matching_loss(net(t.x), own);
  CHECK(loss.item() == 0);
  loss.backward();
  for (const Tensor& p : net.parameters())
    for (double v : to_vector(p.grad())) CHECK(v == 0);
  oracle_matching(model_of(net), t.task, own, {.lr = 0.1, .momentum = 0.9, .epochs = 5});
  auto before = t.original.parameters(), after = net.parameters();
  for (size_t k = 0; k < before.size(); ++k) CHECK(to_vector(before[k]) == to_vector(after[k]));
}

TEST_CASE("unlearning: no gradient reaches targets or teacher") {
  Tensor z = tensor({{0.2, -0.4}, {1.0, 0.5}}, f64), h = tensor({{1.0, 0.0}, {0.3, 0.3}}, f64).requires_grad_();
  auto matching = [&](const Tensor& x) { return matching_loss(x, h); };
  auto kl = [&](const Tensor& x) { return distillation_kl(x, h, 4); };
  CHECK(gradcheck(matching, {z}).passed);
  CHECK(gradcheck(kl, {z}).passed);
  Tensor leaf = clone(z).requires_grad_();
  (matching_loss(leaf, h) + sum(distillation_kl(leaf, h, 4))).backward();
  CHECK(leaf.grad().defined());
  CHECK_FALSE(h.grad().defined());
  CHECK(matching_loss(z, h.detach()).item() == doctest::Approx((0.64 + 0.16 + 0.49 + 0.04) / 2));
  // T² KL at temperature T, by hand.
  auto p = to_vector(softmax(h.detach(), 1, 4)), q = to_vector(softmax(z, 1, 4));
  CHECK(to_vector(distillation_kl(z, h, 4))[0] ==
        doctest::Approx(16 * (p[0] * std::log(p[0] / q[0]) + p[1] * std::log(p[1] / q[1]))).epsilon(1e-9));
}

TEST_CASE("unlearning: each way moves the losses as it says, the original stays, and the cost is counted") {
  Toy t = toy();
  double forget = loss_on(t.original, t, t.task.forget), retain = loss_on(t.original, t, t.task.retain);
  auto start = to_vector(t.original.parameters()[0]);
  mlp::Mlp net = t.original;
  CHECK(retain_finetune(model_of(net), t.task, {.lr = 0.1, .epochs = 20}) == 20 * 10);
  CHECK(loss_on(net, t, t.task.retain) < retain);

  net = t.original;
  std::vector<int64_t> costs;
  auto count = [&](int64_t epoch, int64_t gradients) { costs.push_back(100 * epoch + gradients); };
  CHECK(gradient_ascent(model_of(net), t.task, {.lr = 0.1, .epochs = 3, .after_epoch = count}) == 6);
  CHECK(costs == std::vector<int64_t>{102, 204, 306});
  CHECK(loss_on(net, t, t.task.forget) > forget);

  net = t.original;
  CHECK(ascent_descent(model_of(net), t.task, {.lr = 0.1, .epochs = 5, .ascent_epochs = 2}) == 5 * 10 + 2 * 2);
  CHECK(loss_on(net, t, t.task.forget) > forget);

  // SCRUB's first ascent has no gradient (the student is the teacher); descent moves it, and from then on it is pushed away. It is the
  // student that moves.
  net = t.original;
  CHECK(scrub(model_of(net), t.task, {.lr = 0.1, .epochs = 4, .ascent_epochs = 4}) == 4 * 12);
  CHECK(to_vector(net.parameters()[0]) != start);
  CHECK(loss_on(net, t, t.task.retain) < retain);
  CHECK(to_vector(t.original.parameters()[0]) == start);
}

TEST_CASE("unlearning: SCRUB's rate falls after its milestones") {
  Toy t = toy();
  auto moved = [&](std::vector<int64_t> milestones) {
    mlp::Mlp net = t.original;
    scrub(model_of(net), t.task, {.lr = 0.1, .epochs = 2, .ascent_epochs = 0, .decay_after = std::move(milestones)});
    return norm(net.parameters()[0].detach() - t.original.parameters()[0].detach()).item();
  };
  CHECK(moved({1}) < 0.7 * moved({}));
}

TEST_CASE("unlearning: batches cover each example once an epoch, and the retain sample is drawn anew") {
  Toy t = toy();
  std::vector<std::vector<int64_t>> seen;
  mlp::Mlp net = t.original;
  UnlearningModel model = model_of(net);
  std::vector<double> first = to_vector(select(t.x, 1, 0));
  model.logits = [&](const Tensor& x) {
    std::vector<int64_t>& places = seen.emplace_back();
    for (double v : to_vector(select(x, 1, 0))) places.push_back(std::ranges::find(first, v) - first.begin());
    return net(x);
  };
  Generator g(3);
  Tensor own = t.original(t.x).detach();
  CHECK(oracle_matching(model, t.task, own, {.lr = 0.01, .epochs = 3, .batch = 4, .retain_sample = 5, .generator = &g}) == 21);
  REQUIRE(seen.size() == 6);  // 4 and 3 of the 7 examples, three times
  std::vector<std::vector<int64_t>> epochs;
  for (size_t k = 0; k < 6; k += 2) {
    std::vector<int64_t> places = seen[k];
    places.insert(places.end(), seen[k + 1].begin(), seen[k + 1].end());
    std::ranges::sort(places);
    CHECK(places.size() == 7);
    CHECK(std::ranges::adjacent_find(places) == places.end());
    for (int64_t f : t.task.forget) CHECK(std::ranges::count(places, f) == 1);
    epochs.push_back(places);
  }
  CHECK((epochs[0] != epochs[1] || epochs[1] != epochs[2]));
}

TEST_CASE("unlearning: a population unlearns as its members would alone") {
  Toy t = toy();
  mlp::MlpPopulation both({.inputs = 3, .hidden = {8}, .outputs = 3}, {7, 8});
  mlp::Mlp alone = both.member(1);
  Generator g(4);
  Tensor targets = randn({2, 12, 3}, {.generator = &g});
  UnlearningOptions options{.lr = 0.05, .momentum = 0.9, .epochs = 10};
  UnlearningModel population{[&](const Tensor& x) { return both(x); }, both.parameters()};
  oracle_matching(population, t.task, targets, options);
  oracle_matching(model_of(alone), t.task, select(targets, 0, 1), options);
  scrub(population, t.task, options);
  scrub(model_of(alone), t.task, options);
  auto got = to_vector(select(both(t.x), 0, 1)), wanted = to_vector(alone(t.x));
  for (size_t k = 0; k < got.size(); ++k) CHECK(std::abs(got[k] - wanted[k]) < 1e-3);
}

TEST_CASE("unlearning: a forget set that is empty, everything, or no part of the data is one clear error") {
  Tensor x = zeros({4, 2}), y = tensor({0, 1, 0, 1});
  CHECK_THROWS_WITH_AS(UnlearningTask(x, y, {}), "unlearning: the forget set is empty", ValueError);
  CHECK_THROWS_WITH_AS(UnlearningTask(x, y, {3, 2, 1, 0}),
                       "unlearning: the forget set is the whole training set of 4 examples, nothing is left to retain", ValueError);
  CHECK_THROWS_WITH_AS(UnlearningTask(x, y, {4}), "unlearning: the forget set has example 4, outside [0, 4)", IndexError);
  CHECK_THROWS_WITH_AS(UnlearningTask(x, y, {1}, {-1}), "unlearning: the retain set has example -1, outside [0, 4)", IndexError);
  CHECK_THROWS_WITH_AS(UnlearningTask(x, y, {1, 1}), "unlearning: example 1 is twice in the forget set", ValueError);
  CHECK_THROWS_WITH_AS(UnlearningTask(x, y, {1}, {0, 1}), "unlearning: example 1 is in the forget and in the retain set", ValueError);
  CHECK_THROWS_WITH_AS(UnlearningTask(x, tensor({0, 1}), {1}), "unlearning: examples [4, 2] with labels [2]", ShapeError);
  CHECK(UnlearningTask(x, y, {1}).retain == std::vector<int64_t>{0, 2, 3});
}

TEST_CASE("unlearning: options out of range are named") {
  Toy t = toy();
  mlp::Mlp net = t.original;
  CHECK_THROWS_WITH_AS(gradient_ascent(model_of(net), t.task, {.lr = -1}), "unlearning: the rate must not be negative, it is -1",
                       ValueError);
  CHECK_THROWS_WITH_AS(gradient_ascent(model_of(net), t.task, {.epochs = -1}), "unlearning: -1 epochs, 3 of ascent", ValueError);
  CHECK_THROWS_WITH_AS(gradient_ascent(model_of(net), t.task, {.batch = -2}), "unlearning: batches of -2, 0 examples of the retain set",
                       ValueError);
  CHECK_THROWS_WITH_AS(scrub(model_of(net), t.task, {.temperature = 0}), "unlearning: the temperature must be positive, it is 0",
                       ValueError);
  CHECK_THROWS_WITH_AS(oracle_matching(model_of(net), t.task, zeros({11, 3}), {}), "unlearning: targets [11, 3] for 12 examples",
                       ShapeError);
  CHECK_THROWS_WITH_AS(matching_loss(zeros({2, 3}), zeros({2, 2})), "matching_loss: logits [2, 3] and targets [2, 2]", ShapeError);
}
