// ELR: the worked examples, the closed form of its gradient, what its targets may and may not see, ELR+ and the experiment.
#include <doctest/doctest.h>

#include <cmath>
#include <map>

#include "methods/common/noisy_label_losses.h"
#include "methods/robust/elr/early_learning.h"
#include "methods/robust/elr/elr.h"
#include "methods/robust/elr/elr_plus.h"
#include "methods/runner.h"
#include "models/mlp/mlp.h"
#include "ops/gradcheck.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

using namespace plumb;
using namespace plumb::methods;

namespace plumb::methods::elr {
Experiment experiment();
}

namespace {

Tensor example_logits() { return tensor({{2.0, 0.5, -1.0}, {0.0, 1.0, 3.0}}, f64); }
Tensor example_labels() { return tensor({0, 1}); }

void check_close(const Tensor& got, const std::vector<double>& wanted, double relative = 3e-6) {
  auto values = to_vector(got);
  REQUIRE(values.size() == wanted.size());
  for (size_t i = 0; i < wanted.size(); ++i) CHECK(values[i] == doctest::Approx(wanted[i]).epsilon(relative));
}

}  // namespace

TEST_CASE("elr: worked examples 1 and 2, two visits of one batch") {
  PerSampleEma targets(2, 3, 0.7, f64);
  Tensor index = tensor({0, 1});
  auto visit = [&] {
    Tensor z = example_logits().requires_grad_();
    Tensor loss = elr::elr_loss(z, example_labels(), index, targets);
    loss.backward();
    return std::pair{loss.item(), z.grad()};
  };
  auto [first, first_gradient] = visit();
  check_close(targets.table(), {.235679, .0525871, .0117338, .0126030, .0342586, .253138});
  CHECK(first == doctest::Approx(.511609).epsilon(3e-6));
  check_close(first_gradient, {-.166992, .134094, .0328972, .0375602, -.402644, .365084}, 1e-5);
  check_close(elr::elr_regularizer(example_logits(), targets.table()), {(-.216697 - .245950) / 2}, 3e-6);
  auto [second, second_gradient] = visit();
  check_close(targets.table(), {.400654, .0893981, .0199474, .0214251, .0582396, .430335});
  check_close(elr::elr_regularizer(example_logits(), targets.table()), {(-.402276 - .463092) / 2}, 3e-6);
  CHECK(second == doctest::Approx(-.0924736).epsilon(2e-5));
  check_close(second_gradient, {-.229571, .182711, .0468606, .0559744, -.357866, .301892}, 1e-5);
}

TEST_CASE("elr: with lambda 0 loss and gradient are the cross-entropy's, bit for bit") {
  Generator g(1);
  Tensor start = randn({8, 5}, {.generator = &g}), labels = randint(0, 5, {8}, {.dtype = i64, .generator = &g});
  PerSampleEma targets(8, 5, 0.7);
  Tensor a = clone(start).requires_grad_(), b = clone(start).requires_grad_();
  Tensor loss = elr::elr_loss(a, labels, randperm(8), targets, {.lambda = 0}), plain = cross_entropy(b, labels);
  CHECK(loss.item() == plain.item());
  loss.backward();
  plain.backward();
  CHECK(to_vector(a.grad()) == to_vector(b.grad()));
  CHECK(sum(targets.table()).item() == doctest::Approx(8 * 0.3));  // the targets move all the same
}

TEST_CASE("elr: beta 1 keeps the regulariser at exactly 0, beta 0 takes the predictions themselves") {
  PerSampleEma still(2, 3, 1, f64), now(2, 3, 0, f64);
  Tensor z = example_logits(), index = tensor({0, 1});
  double plain = cross_entropy(z, example_labels()).item();
  CHECK(elr::elr_loss(z, example_labels(), index, still).item() == plain);
  Tensor p = softmax(z, 1);  // no clamp is active: all lie within [1e-4, 1 − 1e-4]
  double wanted = 0;
  auto values = to_vector(p);
  for (int row = 0; row < 2; ++row) {
    double squares = 0;
    for (int c = 0; c < 3; ++c) squares += std::pow(values[static_cast<size_t>(3 * row + c)], 2);
    wanted += std::log(1 - squares) / 2;
  }
  CHECK(elr::elr_loss(z, example_labels(), index, now).item() == doctest::Approx(plain + 3 * wanted).epsilon(1e-12));
}

TEST_CASE("elr: after two visits with constant predictions the targets sum to 1 - beta squared") {
  PerSampleEma targets(2, 3, 0.7, f64);
  for (int visit = 0; visit < 2; ++visit) elr::elr_loss(example_logits(), example_labels(), tensor({1, 0}), targets);
  for (double total : to_vector(sum(targets.table(), {1}))) CHECK(total == doctest::Approx(0.51).epsilon(1e-12));
}

TEST_CASE("elr: targets receive no gradient, other rows do not matter, nor does the order of the batch") {
  Generator g(2);
  Tensor z = randn({4, 3}, {.dtype = f64, .generator = &g}), labels = tensor({0, 1, 2, 1}), index = tensor({5, 0, 3, 1});
  auto loss_with = [&](double others, const std::vector<int64_t>& order) {
    PerSampleEma targets(6, 3, 0.7, f64);
    Tensor table = full({6, 3}, 0.1, f64);
    for (int64_t row : {2, 4})
      for (int64_t c = 0; c < 3; ++c) table.data<double>()[3 * row + c] = others;
    targets.set_table(table);
    Tensor at = from_vector(order);
    return elr::elr_loss(index_select(z, 0, at), index_select(labels, 0, at), index_select(index, 0, at), targets).item();
  };
  double loss = loss_with(0.1, {0, 1, 2, 3});
  CHECK(loss_with(0.9, {0, 1, 2, 3}) == loss);
  CHECK(loss_with(0.1, {3, 1, 0, 2}) == doctest::Approx(loss).epsilon(1e-14));
  Tensor targets = full({4, 3}, 0.2, f64).requires_grad_(), student = clone(z).requires_grad_();
  elr::elr_regularizer(student, targets).backward();
  CHECK_FALSE(targets.grad().defined());
  CHECK(student.grad().defined());
}

TEST_CASE("elr: the gradient is that of central differences with the targets held, and the closed form") {
  Generator g(3);
  Tensor z = randn({5, 4}, {.dtype = f64, .generator = &g}), t = 0.9 * softmax(randn({5, 4}, {.dtype = f64, .generator = &g}), 1);
  Tensor labels = tensor({0, 3, 1, 2, 2});
  auto loss = [&](const std::vector<Tensor>& x) -> std::vector<Tensor> {
    return {cross_entropy(x[0], labels) + 3.0 * elr::elr_regularizer(x[0], t)};
  };
  CHECK_MESSAGE(gradcheck(loss, {z}, {.eps = 1e-4, .atol = 1e-9, .rtol = 1e-7}).passed,
                gradcheck(loss, {z}, {.eps = 1e-4, .atol = 1e-9, .rtol = 1e-7}).message);
  CHECK(gradgradcheck(loss, {z}).passed);
  Tensor leaf = clone(z).requires_grad_();
  elr::elr_regularizer(leaf, t).backward();
  auto p = to_vector(softmax(z, 1)), target = to_vector(t), gradient = to_vector(leaf.grad());
  for (size_t i = 0; i < 5; ++i) {
    double agreement = 0;
    for (size_t c = 0; c < 4; ++c) agreement += p[4 * i + c] * target[4 * i + c];
    for (size_t c = 0; c < 4; ++c)
      CHECK(gradient[4 * i + c] == doctest::Approx(-p[4 * i + c] * (target[4 * i + c] - agreement) / (1 - agreement) / 5).epsilon(1e-10));
  }
}

TEST_CASE("elr: probabilities are held within the clamp, without gradient there, and the regulariser within its bounds") {
  Tensor z = tensor({{30.0, 0.0, 0.0}}, f64).requires_grad_();
  Tensor sure = tensor({{1.0, 0.0, 0.0}}, f64);
  Tensor reg = elr::elr_regularizer(z, sure);
  CHECK(reg.item() == doctest::Approx(std::log(1e-4)).epsilon(1e-9));
  reg.backward();
  for (double v : to_vector(z.grad())) CHECK(v == 0);
}

TEST_CASE("elr: the ramp of ELR+") {
  auto ramp = optim::sigmoid_rampup(40000);
  CHECK(ramp(10000) == doctest::Approx(.0600547).epsilon(2e-6));
  CHECK(ramp(20000) == doctest::Approx(.286505).epsilon(3e-6));
  CHECK(ramp(40000) == 1);
}

TEST_CASE("elr: the examples whose label the targets contradict") {
  PerSampleEma targets(3, 2, 0.7);
  targets.set_table(tensor({{0.9, 0.1}, {0.2, 0.7}, {0.6, 0.3}}));
  CHECK(to_vector<int>(elr::mislabelled(targets, tensor({0, 0, 0}))) == std::vector<int>{0, 1, 0});
}

TEST_CASE("elr: soft labels add the targets' cross-entropy") {
  PerSampleEma targets(2, 3, 0.7, f64);
  Tensor z = example_logits();
  double loss = elr::soft_label_loss(z, example_labels(), tensor({0, 1}), targets).item();
  auto t = to_vector(targets.table()), log_p = to_vector(log_softmax(z, 1));
  double soft = 0;
  for (size_t k = 0; k < 6; ++k) soft -= t[k] * log_p[k] / 2;
  CHECK(loss == doctest::Approx(cross_entropy(z, example_labels()).item() + 3 * soft).epsilon(1e-10));
}

TEST_CASE("elr: mistakes are named") {
  PerSampleEma targets(3, 3, 0.7, f64);
  Tensor z = example_logits(), y = example_labels();
  CHECK_THROWS_WITH_AS(elr::elr_loss(z, y, tensor({0, 3}), targets), "per_sample_ema: index 3 is outside [0, 3)", IndexError);
  CHECK_THROWS_WITH_AS(elr::elr_loss(z, y, tensor({2, 2}), targets), "per_sample_ema: index 2 occurs twice in one batch", ValueError);
  PerSampleEma four(3, 4, 0.7);
  CHECK_THROWS_WITH_AS(elr::elr_loss(z, y, tensor({0, 1}), four), "elr: logits [2, 3] for targets of 4 classes", ShapeError);
  CHECK_THROWS_WITH_AS(PerSampleEma(3, 3, -0.1), "per_sample_ema: beta must lie in [0, 1], it is -0.1", ValueError);
  CHECK_THROWS_WITH_AS(elr::elr_regularizer(z, zeros({2, 2}, f64)), "elr: logits [2, 3] and targets [2, 2] must both be [B, C]",
                       ShapeError);
  CHECK(sum(targets.table()).item() == 0);  // nothing was written
}

TEST_CASE("elr+: mixing keeps the larger share, and labels and targets mix alike") {
  Generator g(4);
  for (int repeat = 0; repeat < 20; ++repeat) {
    elr::Mixing m = elr::draw_mixing(6, 1, g);
    CHECK(m.share >= 0.5);
    CHECK(m.share <= 1);
  }
  elr::Mixing m{0.75, tensor({1, 0})};
  check_close(elr::mix(tensor({{1.0, 0.0}, {0.0, 1.0}}), m), {0.75, 0.25, 0.25, 0.75});
  CHECK(elr::draw_mixing(3, 0, g).share == 1);
  // Without mixing, at full weight, it is ELR's loss on given targets.
  Tensor t = tensor({{0.3, 0.1, 0.1}, {0.2, 0.2, 0.3}}, f64), z = example_logits();
  Tensor hard = to(one_hot(example_labels(), 3), f64);
  CHECK(elr::elr_plus_loss(z, hard, t, 3).item() ==
        doctest::Approx(cross_entropy(z, example_labels()).item() + 3 * elr::elr_regularizer(z, t).item()).epsilon(1e-12));
  check_close(elr::weighted_labels(tensor({{0.5, 0.5, 0.0}}), tensor({{0.3, 0.1, 0.6}})), {0.75, 0.25, 0});
}

TEST_CASE("elr+: a step takes its target from the other network's average on the unmixed inputs, and moves its own side alone") {
  manual_seed(5);
  mlp::MlpConfig config{.inputs = 4, .hidden = {8}, .outputs = 3};
  mlp::Mlp first(config), second(config);
  elr::ElrPlusOptions options{.beta = 0.7, .ema_decay = 0.9, .ema_steps = 0};
  elr::ElrPlusTrainer<mlp::Mlp> trainer(first, second, 5, 3, options, {.lr = 0.1});
  Generator g(6);
  Tensor x = randn({3, 4}, {.generator = &g}), y = tensor({0, 2, 1}), index = tensor({4, 0, 2});
  trainer.step(0, x, y, index, g);
  Tensor wanted = 0.3 * softmax(second(x), 1);
  check_close(trainer.targets(0).rows(index), to_vector(wanted), 1e-5);
  CHECK(sum(trainer.targets(1).table()).item() == 0);
  CHECK(to_vector(trainer.network(1).parameters()[0]) == to_vector(second.parameters()[0]));
  auto before = to_vector(first.parameters()[0]), after = to_vector(trainer.network(0).parameters()[0]),
       average = to_vector(trainer.average(0).parameters()[0]);
  double moved = 0;
  for (size_t k = 0; k < before.size(); ++k) {
    CHECK(average[k] == doctest::Approx(0.9 * before[k] + 0.1 * after[k]).epsilon(1e-5));
    moved += std::abs(after[k] - before[k]);
  }
  CHECK(moved > 0);
  Tensor mean_logits = 0.5 * (trainer.network(0)(x) + trainer.network(1)(x));
  check_close(trainer(x), to_vector(mean_logits), 1e-6);
}

TEST_CASE("noisy-label losses: limits, worked numbers and mistakes") {
  Tensor z = example_logits(), y = example_labels();
  double py[2] = {.785597, .114195}, ce[2] = {.241311, 2.16985};
  CHECK(generalized_cross_entropy(z, y, 0.7).item() ==
        doctest::Approx((2 - std::pow(py[0], .7) - std::pow(py[1], .7)) / 1.4).epsilon(1e-5));
  CHECK(generalized_cross_entropy(z, y, 1).item() == doctest::Approx((2 - py[0] - py[1]) / 2).epsilon(1e-5));
  CHECK(generalized_cross_entropy(z, y, 1e-7).item() == doctest::Approx((ce[0] + ce[1]) / 2).epsilon(1e-5));
  CHECK(absolute_error(z, y).item() == doctest::Approx((2 - py[0] - py[1]) / 2).epsilon(1e-5));
  CHECK(symmetric_cross_entropy(z, y).item() == doctest::Approx(0.1 * (ce[0] + ce[1]) / 2 + 4 * (2 - py[0] - py[1]) / 2).epsilon(1e-5));
  auto gce = [&](const std::vector<Tensor>& x) -> std::vector<Tensor> { return {generalized_cross_entropy(x[0], y)}; };
  CHECK(gradcheck(gce, {z}).passed);
  CHECK_THROWS_WITH_AS(generalized_cross_entropy(z, y, 0), "generalized_cross_entropy: q must lie in (0, 1], it is 0", ValueError);
}

TEST_CASE("elr: a linear classifier predicts flipped points right at first and memorises them in the end") {
  Generator g(7);
  elr::EarlyLearning e = elr::early_learning(elr::linear_problem({}, g), 512, 1);
  double best = 0;
  for (double share : e.corrected) best = std::max(best, share);
  CHECK(best > 0.6);
  CHECK(e.corrected.back() < 0.2);
  CHECK_THROWS_WITH_AS(elr::linear_problem({.flip_rate = 2}, g), "elr: the flip rate must lie in [0, 1], it is 2", ValueError);
}

TEST_CASE("elr: the experiment measures every variant at the smoke budget") {
  Results results = run_experiment({"robust", "elr", &elr::experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == 11);
  for (const CellResult& cell : results.cells) {
    CAPTURE(cell.variant);
    std::map<std::string, double> m(cell.measured.metrics.begin(), cell.measured.metrics.end());
    CHECK(m["test accuracy at 40 % (%)"] > 30);  // three epochs: far above chance
    CHECK(m["best epoch at 40 % (%)"] >= m["test accuracy at 40 % (%)"] - 1e-9);
    CHECK(m["memorised at 40 % (%)"] + m["corrected at 40 % (%)"] <= 100 + 1e-9);
    CHECK(m["corrected at 40 % (%)"] > m["memorised at 40 % (%)"]);  // early learning comes first
  }
}

TEST_CASE("elr: what a clamp adds to the probabilities is divided out of the targets") {
  PerSampleEma targets(1, 3, 0.5, f64);
  elr::elr_loss(tensor({{0.0, 0.0, 9.0}}, f64), tensor({2}), tensor({0}), targets, {.clamp = 0.25});
  check_close(targets.table(), {0.5 * 0.25 / 1.25, 0.5 * 0.25 / 1.25, 0.5 * 0.75 / 1.25}, 1e-12);
}
