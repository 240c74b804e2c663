// PS-KD: the worked numbers of its schedule, targets, gradients and measures; what a checkpoint must hold; mistakes; the experiment.
#include "methods/regularization/ps_kd/ps_kd.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "methods/common/few_digits.h"
#include "methods/regularization/ps_kd/self_teaching.h"
#include "methods/runner.h"
#include "models/optim/sgd.h"
#include "ops/elementary.h"
#include "ops/gradcheck.h"
#include "ops/index.h"
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

namespace plumb::methods::ps_kd {
Experiment experiment();
}

namespace {

// The example of the worked numbers: z = (2, 1, −1), class 0, predicted (0.6, 0.3, 0.1) in the epoch before. α = `alpha`.
ps_kd::ProgressiveTargets worked(double alpha) {
  ps_kd::ProgressiveTargets targets(1, 3, 1, alpha);
  targets.update(tensor({0}), tensor({{0.6, 0.3, 0.1}}));
  return targets;
}

}  // namespace

TEST_CASE("ps_kd: the mixing weight grows with the epoch and reaches its last value in the last one") {
  CHECK(ps_kd::mixing_weight(0.8, 1, 300) == doctest::Approx(0.00266667).epsilon(2e-6));
  CHECK(ps_kd::mixing_weight(0.8, 150, 300) == doctest::Approx(0.4).epsilon(1e-15));
  CHECK(ps_kd::mixing_weight(0.8, 300, 300) == 0.8);
}

TEST_CASE("ps_kd: worked losses and gradients") {
  struct Row {
    double alpha, loss;
    std::vector<double> target, gradient;
  };
  for (const Row& row :
       {Row{0, .349012, {1, 0, 0}, {-.294615, .259496, .0351190}}, Row{0.4, .589012, {.84, .12, .04}, {-.134615, .139496, -.00488097}},
        Row{0.8, .829012, {.68, .24, .08}, {.0253845, .0194965, -.0448810}}}) {
    CAPTURE(row.alpha);
    auto targets = worked(row.alpha);
    Tensor z = tensor({{2.0, 1.0, -1.0}}, f64).requires_grad_(), label = tensor({0}), index = tensor({0});
    check_close(softmax(z, 1), {.70538451, .25949646, .03511903}, 1e-7);
    check_close(targets.targets(index, label) + 1, {1 + row.target[0], 1 + row.target[1], 1 + row.target[2]}, 1e-7);
    Tensor loss = ps_kd::ps_kd_loss(z, label, index, targets);
    CHECK(loss.item() == doctest::Approx(row.loss).epsilon(2e-6));
    loss.backward();
    auto gradient = to_vector(z.grad());
    for (size_t c = 0; c < 3; ++c) CHECK(std::abs(gradient[c] - row.gradient[c]) < 6e-7);
  }
}

TEST_CASE("ps_kd: the loss's gradient is that of central differences, and none goes into what was predicted before") {
  Generator g(3);
  Tensor z = randn({4, 5}, {.dtype = f64, .generator = &g}), before = softmax(randn({4, 5}, {.generator = &g}), 1).requires_grad_();
  Tensor labels = tensor({0, 3, 1, 4}), index = tensor({3, 0, 2, 1});
  ps_kd::ProgressiveTargets targets(4, 5, 2, 0.6);
  targets.update(index, before);
  CHECK_FALSE(targets.table().requires_grad());
  targets.begin_epoch(2);
  Tensor q = targets.targets(index, labels);
  CHECK_FALSE(q.requires_grad());
  CHECK(gradcheck([&](const std::vector<Tensor>& x) -> std::vector<Tensor> { return {cross_entropy(x[0], to(q, f64))}; }, {z}).passed);
  Tensor leaf = clone(z).requires_grad_();
  double first = ps_kd::ps_kd_loss(leaf, labels, index, targets).item();
  ps_kd::ProgressiveTargets others(4, 5, 2, 0.6);  // another prediction, another loss
  others.update(index, softmax(2 * before.detach(), 1));
  others.begin_epoch(2);
  Tensor loss = ps_kd::ps_kd_loss(leaf, labels, index, others);
  CHECK(loss.item() != first);
  loss.backward();
  CHECK_FALSE(before.grad().defined());
}

TEST_CASE("ps_kd: the gradient is (p − q) / B") {
  Generator g(4);
  Tensor z = randn({2, 3}, {.dtype = f64, .generator = &g}).requires_grad_(), labels = tensor({2, 0}), index = tensor({0, 1});
  ps_kd::ProgressiveTargets targets(2, 3, 4, 0.8);
  targets.update(index, tensor({{0.5, 0.25, 0.25}, {0.125, 0.75, 0.125}}));
  targets.begin_epoch(3);
  Tensor q = to(targets.targets(index, labels), f64);
  ps_kd::ps_kd_loss(z, labels, index, targets).backward();
  auto gradient = to_vector(z.grad()), p = to_vector(softmax(z.detach(), 1)), wanted = to_vector(q);
  for (size_t i = 0; i < 6; ++i)  // q, kept in f32, sums to 1 within 1e-7
    CHECK(gradient[i] == doctest::Approx((p[i] - wanted[i]) / 2).epsilon(1e-7));
}

TEST_CASE("ps_kd: targets lie on the simplex, and next epoch's are exactly the mixture of label and prediction") {
  Generator g(5);
  Tensor p = softmax(3 * randn({6, 4}, {.generator = &g}), 1), labels = tensor({0, 1, 2, 3, 0, 1}), index = tensor({5, 4, 3, 2, 1, 0});
  ps_kd::ProgressiveTargets targets(6, 4, 10, 0.8);
  targets.update(index, p);
  for (int64_t t : {2, 7, 10}) {
    targets.begin_epoch(t);
    auto a = targets.alpha();
    auto q = to_vector<float>(targets.targets(index, labels)), before = to_vector<float>(p);
    auto y = to_vector<int64_t>(labels);
    for (size_t i = 0; i < 6; ++i) {
      double total = 0;
      for (size_t c = 0; c < 4; ++c) {
        float label = static_cast<int64_t>(c) == y[i] ? 1.0f : 0.0f;
        CHECK(q[4 * i + c] == static_cast<float>(1 - a) * label + static_cast<float>(a) * before[4 * i + c]);
        CHECK((q[4 * i + c] >= 0 && q[4 * i + c] <= 1));
        total += q[4 * i + c];
      }
      CHECK(total == doctest::Approx(1).epsilon(1e-6));
    }
  }
  // Soft labels, as of mixed images, are mixed alike.
  Tensor soft = full({6, 4}, 0.25);
  check_close(targets.targets(index, soft), to_vector(0.2 * soft + 0.8 * p), 1e-6);
}

TEST_CASE("ps_kd: an example without a prediction has its label, one that was not seen in an epoch keeps its row") {
  ps_kd::ProgressiveTargets targets(3, 2, 4, 0.8);
  CHECK_FALSE(targets.any_seen(tensor({0, 1, 2})));
  targets.update(tensor({1}), tensor({{0.25, 0.75}}));
  CHECK(targets.any_seen(tensor({0, 1})));
  CHECK_FALSE(targets.any_seen(tensor({0, 2})));
  targets.begin_epoch(4);
  check_close(targets.targets(tensor({0, 1}), tensor({1, 0})) + 1, {1, 2, 1.4, 1.6}, 1e-6);
  targets.update(tensor({0, 0}), tensor({{0.5, 0.5}, {1.0, 0.0}}));  // of an example that comes twice the last one stays
  check_close(targets.table() + 1, {2, 1, 1.25, 1.75, 1, 1}, 1e-6);
}

TEST_CASE("ps_kd: with a last weight of 0, and in the first epoch, a run is the cross-entropy's bit for bit") {
  manual_seed(1);
  Generator data(2);
  FewDigits digits = few_digits({.train = 60, .noise = 0.2}, data);
  mlp::Mlp start = few_digits_mlp();
  auto weights = [&](int64_t epochs, double last, bool plain) {
    mlp::Mlp net = start;
    optim::SGD sgd(net.parameters(), {.lr = 0.05, .momentum = 0.9});
    ps_kd::ProgressiveTargets targets(60, 10, 3, last);
    Generator order(3);
    train_on_few_digits(digits, {.epochs = epochs, .batch = 16}, sgd, order, [&](const FewDigitsBatch& b) {
      targets.begin_epoch(b.epoch);
      return plain ? cross_entropy(net(b.rows), b.labels) : ps_kd::ps_kd_loss(net(b.rows), b.labels, b.index, targets);
    });
    return to_vector(net.parameters()[0]);
  };
  CHECK(weights(3, 0, false) == weights(3, 0, true));
  CHECK(weights(1, 0.8, false) == weights(1, 0.8, true));
  CHECK(weights(2, 0.8, false) != weights(2, 0.8, true));  // the second epoch is another matter
}

TEST_CASE("ps_kd: a stored table and epoch make the next epoch the same") {
  Generator g(7);
  Tensor index = tensor({2, 0}), labels = tensor({1, 2}), z = randn({2, 3}, {.generator = &g});
  ps_kd::ProgressiveTargets whole(3, 3, 5, 0.8);
  ps_kd::ps_kd_loss(z, labels, index, whole);
  Tensor stored = clone(whole.table());
  ps_kd::ProgressiveTargets resumed(3, 3, 5, 0.8);
  resumed.set_table(stored);
  for (auto* targets : {&whole, &resumed}) targets->begin_epoch(2);
  CHECK(ps_kd::ps_kd_loss(2 * z, labels, index, whole).item() == ps_kd::ps_kd_loss(2 * z, labels, index, resumed).item());
  CHECK(to_vector(whole.table()) == to_vector(resumed.table()));
  CHECK_THROWS_WITH_AS(resumed.set_table(zeros({3, 2})), "ps_kd: a table [3, 2] for one of [3, 3]", ShapeError);
}

TEST_CASE("ps_kd: what is stored is the pass that was trained with, taken after its own target") {
  ps_kd::ProgressiveTargets targets(1, 2, 2, 1);
  targets.begin_epoch(2);
  targets.update(tensor({0}), tensor({{0.5, 0.5}}));
  Tensor z = tensor({{3.0, 0.0}}, f64);
  double loss = ps_kd::ps_kd_loss(z, tensor({0}), tensor({0}), targets).item();
  CHECK(loss == doctest::Approx(-0.5 * (std::log(1 / (1 + std::exp(-3.0))) + std::log(1 / (1 + std::exp(3.0))))).epsilon(1e-9));
  check_close(targets.table(), to_vector(softmax(z, 1)), 1e-6);
}

TEST_CASE("ps_kd: the ratio of gradients, worked and against the gradients themselves") {
  std::vector<double> p{.25, .45, .3}, before{.5, .3, .2};
  CHECK(ps_kd::gradient_ratio(p, before, 0.4, 0) == doctest::Approx(0.733333).epsilon(1e-6));
  Tensor q = tensor({{.6 + .4 * .5, .4 * .3, .4 * .2}}, f64), y = tensor({{1.0, 0.0, 0.0}}, f64), now = from_vector(p, {1, 3});
  CHECK(ps_kd::gradient_norms(now, q).item() / ps_kd::gradient_norms(now, y).item() == doctest::Approx(0.733333).epsilon(1e-6));
  CHECK_THROWS_WITH_AS(ps_kd::gradient_ratio({.25, .05, .7}, before, 0.4, 0),
                       "ps_kd: the ratio has no closed form: p = 0.05 of class 1 is below α P = 0.12", ValueError);
  CHECK_THROWS_AS(ps_kd::gradient_ratio({1, 0, 0}, {1, 0, 0}, 0.4, 0), ValueError);
  CHECK_THROWS_WITH_AS(ps_kd::gradient_ratio(p, before, 0.4, 3), "ps_kd: label 3 is outside [0, 3)", IndexError);
  // Of ten examples the least sure one has 3 of 12.
  Tensor norms = tensor({1.0, 1.0, 1.0, 1.0, 3.0, 1.0, 1.0, 1.0, 1.0, 1.0}), sure = tensor({.9, .8, .7, .6, .1, .9, .9, .9, .9, .9});
  CHECK(ps_kd::hardest_part(norms, sure) == doctest::Approx(0.25));
  CHECK(ps_kd::hardest_part(norms, sure, 0.11) == doctest::Approx(4.0 / 12));
}

TEST_CASE("ps_kd: TF-KD and CS-KD at their limits and by their formulas") {
  Generator g(11);
  Tensor z = randn({3, 4}, {.dtype = f64, .generator = &g}), other = randn({3, 4}, {.dtype = f64, .generator = &g}),
         labels = tensor({0, 3, 1});
  double plain = cross_entropy(z, labels).item();
  CHECK(ps_kd::teacher_free_loss(z, labels, {.weight = 0}).item() == doctest::Approx(plain).epsilon(1e-14));
  CHECK(ps_kd::class_wise_loss(z, z, labels).item() == doctest::Approx(plain).epsilon(1e-12));
  // The teacher at τ = 1 is (0.7, 0.1, 0.1, 0.1) for its class.
  auto log_p = to_vector(log_softmax(z, 1)), soft = to_vector(softmax(other, 1, 2)), log_half = to_vector(log_softmax(z, 1, 2));
  auto y = to_vector<int64_t>(labels);
  double free = 0, wise = 0;
  for (size_t i = 0; i < 3; ++i)
    for (size_t c = 0; c < 4; ++c) {
      double u = static_cast<int64_t>(c) == y[i] ? 0.7 : 0.1;
      free += u * (std::log(u) - log_p[4 * i + c]) / 3;
      wise += soft[4 * i + c] * (std::log(soft[4 * i + c]) - log_half[4 * i + c]) / 3;
    }
  CHECK(ps_kd::teacher_free_loss(z, labels, {.sure = 0.7, .temperature = 1, .weight = 0.3}).item() ==
        doctest::Approx(0.7 * plain + 0.3 * free).epsilon(1e-9));
  CHECK(ps_kd::class_wise_loss(z, other, labels, {.temperature = 2, .weight = 0.5}).item() ==
        doctest::Approx(plain + 2 * wise).epsilon(1e-9));
  CHECK(gradcheck(
            [&](const std::vector<Tensor>& x) -> std::vector<Tensor> {
              return {ps_kd::teacher_free_loss(x[0], labels), ps_kd::class_wise_loss(x[0], other, labels)};
            },
            {z})
            .passed);
}

TEST_CASE("ps_kd: mistakes are named and change nothing") {
  CHECK_THROWS_WITH_AS(ps_kd::ProgressiveTargets(3, 2, 4, 1.5), "ps_kd: the last mixing weight must lie in [0, 1], it is 1.5", ValueError);
  CHECK_THROWS_AS(ps_kd::ProgressiveTargets(3, 2, 4, std::numeric_limits<double>::quiet_NaN()), ValueError);
  CHECK_THROWS_WITH_AS(ps_kd::ProgressiveTargets(3, 2, 0), "ps_kd: a run has at least one epoch, not 0", ValueError);
  ps_kd::ProgressiveTargets targets(3, 2, 4);
  CHECK_THROWS_WITH_AS(targets.begin_epoch(0), "ps_kd: epoch 0 is outside 1 … 4", ValueError);
  CHECK_THROWS_WITH_AS(targets.begin_epoch(5), "ps_kd: epoch 5 is outside 1 … 4", ValueError);
  CHECK(targets.epoch() == 1);
  Tensor half = tensor({{0.5, 0.5}}), z = tensor({{1.0, 2.0}});
  CHECK_THROWS_WITH_AS(targets.update(tensor({3}), half), "ps_kd: index 3 is outside [0, 3)", IndexError);
  CHECK_THROWS_WITH_AS(targets.update(tensor({0}), tensor({{0.5, 0.25, 0.25}})), "ps_kd: predictions must be [1, 2], they are [1, 3]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(targets.update(tensor({0, 1}), tensor({{0.5, 0.5}, {0.5, std::nan("")}})),
                       "ps_kd: prediction nan for class 1 in row 1 is no probability", ValueError);
  CHECK_THROWS_WITH_AS(targets.update(tensor({0}), tensor({{0.5, 0.25}})), "ps_kd: the predictions in row 0 sum to 0.75, not to 1",
                       ValueError);
  CHECK_THROWS_WITH_AS(ps_kd::ps_kd_loss(z, tensor({2}), tensor({0}), targets), "ps_kd: label 2 is outside [0, 2)", IndexError);
  CHECK_THROWS_WITH_AS(ps_kd::ps_kd_loss(z, tensor({0}), tensor({-1}), targets), "ps_kd: index -1 is outside [0, 3)", IndexError);
  CHECK_THROWS_WITH_AS(targets.targets(tensor({0}), tensor({0, 1})), "ps_kd: 1 examples have labels [2]", ShapeError);
  CHECK_THROWS_WITH_AS(targets.targets(tensor({0, 1}), half), "ps_kd: soft labels must be [2, 2], they are [1, 2]", ShapeError);
  CHECK(sum(targets.table()).item() == 0);
}

TEST_CASE("ps_kd: the experiment measures every variant at the smoke budget") {
  Results results = run_experiment({"regularization", "ps_kd", &ps_kd::experiment, {}}, {.budget = Budget::smoke, .seeds = 1});
  REQUIRE(results.cells.size() == 6);
  for (const CellResult& cell : results.cells) {
    CAPTURE(cell.variant);
    CHECK(measured(results, cell.variant, "error, clean (%)") < 85);  // ten epochs of 60 digits: better than chance
    CHECK(measured(results, cell.variant, "NLL, 20 % noise (nats)") > 0);
    double share = measured(results, cell.variant, "gradient of the hardest 10 %, 20 % noise (%)");
    CHECK((share > 0 && share < 100));
  }
  for (const char* variant : {"label smoothing", "TF-KD", "CS-KD", "PS-KD", "PS-KD, last epoch's weights"})
    CHECK(measured(results, variant, "NLL, clean (nats)") != measured(results, "cross entropy", "NLL, clean (nats)"));
}
